// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "pingpong.h"

static jmp_buf after_error;

/* The server's give_up(): to its next connection. */
static __attribute__((noreturn)) void go_on(void)
{
	longjmp(after_error, 1);
}

static void answer(struct way *way, uint32_t size, int acquaints)
{
	while (take(way, size)) {
		if (acquaints)
			expect_no_more(way);
		give(way, size);
	}
}

void serve(const char *where)
{
	struct sockaddr_storage at;
	socklen_t length = parse(where, &at);
	int one = 1, workers, listener = socket(at.ss_family, SOCK_STREAM, 0);

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (void *)&at, length) || listen(listener, 128))
		fail("pingpong: listen");
	prepare(listener);
	give_up = go_on;
	/* A worker for each connection at a time: to fork for each one would be what is measured.
	 */
	for (workers = 0; workers < MOST_STREAMS; workers++) {
		pid_t parent = getpid();

		if (fork())
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			exit(0);
		if (waits_in_epoll())
			wait_in_epoll();
		break;
	}
	for (;;) {
		static struct way way; /* not lost by longjmp() */
		uint32_t size;

		if (setjmp(after_error))
			close(way.fd);
		way = (struct way){.fd = next_connection(listener)};
		if (way.fd < 0) {
			perror("pingpong: accept");
			exit(1);
		}
		watch(way.fd);
		no_delay(way.fd);
		if (read_number(way.fd, &size, sizeof(size))) {
			if (size == STREAM) {
				while (take_some(&way, MOST))
					;
				if (write_some(way.fd, &way.received, sizeof(way.received)) < 0)
					fail("pingpong: write");
			} else {
				answer(&way, size & ~ACQUAINT, size & ACQUAINT);
			}
		}
		close(way.fd);
	}
}
