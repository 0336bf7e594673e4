// SPDX-License-Identifier: GPL-2.0-only
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "pingpong.h"

#define BESIDE (128 << 10) /* bytes of a write */

/* What the client shares with its streams. over: they shall end. sent: bytes of each, so far. */
static struct {
	volatile int over;
	volatile uint64_t sent[MOST_STREAMS];
} * shared;

/* Start a process that streams until `over`. */
static void stream_beside(struct sockaddr_storage *to, socklen_t length, int number)
{
	struct way way;

	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (waits_in_epoll())
		wait_in_epoll();
	way = dial(to, length, STREAM);
	while (!shared->over) {
		give(&way, BESIDE);
		shared->sent[number] = way.sent;
	}
	finish_stream(&way);
	exit(0);
}

void begin_streams(struct sockaddr_storage *to, socklen_t length, int count)
{
	int number;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		fail("pingpong: mmap");
	for (number = 0; number < count; number++)
		stream_beside(to, length, number);
	for (number = 0; number < count; number++) {
		while (!shared->sent[number]) {
			if (waitpid(-1, NULL, WNOHANG) > 0)
				exit(1); /* the stream has printed why it ended */
			usleep(1000);
		}
	}
}

uint64_t sent_beside(int count)
{
	uint64_t sent = 0;

	while (count--)
		sent += shared->sent[count];
	return sent;
}

void end_streams(int count)
{
	int status;

	shared->over = 1;
	while (count--)
		if (wait(&status) < 0 || status)
			exit(1);
}
