// SPDX-License-Identifier: GPL-2.0-only
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pingpong.h"

static __attribute__((noreturn)) void end(void)
{
	exit(1);
}

void (*give_up)(void) __attribute__((noreturn)) = end;

void fail(const char *what)
{
	perror(what);
	give_up();
}

int main(int argc, char **argv)
{
	make_pattern();
	signal(SIGPIPE, SIG_IGN);
	if (argc > 3 && !strcmp(argv[argc - 1], "blocking"))
		argc--;
	else
		wait_in_epoll();
	if (argc == 3 && !strcmp(argv[1], "serve")) {
		serve(argv[2]);
	} else if ((argc == 5 || argc == 6) && strtoul(argv[3], NULL, 10) - 1 < MOST) {
		unsigned long streams = argc == 6 ? strtoul(argv[5], NULL, 10) : 0;

		if (streams < MOST_STREAMS) {
			measure(argv[1], argv[2], strtoul(argv[3], NULL, 10), atof(argv[4]),
				streams);
			return 0;
		}
	}
	fprintf(stderr,
		"usage: pingpong serve WHERE, or rr|stream|crr WHERE SIZE SECONDS "
		"[STREAMS, fewer than %d]; then [blocking]\n",
		MOST_STREAMS);
	return 2;
}
