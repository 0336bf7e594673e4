// SPDX-License-Identifier: GPL-2.0-only
#include "system.h"

#include "worker.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

struct system sys = {
	.accept4 = accept4,
	.close = close,
	.connect = connect,
	.epoll_create1 = epoll_create1,
	.epoll_ctl = epoll_ctl,
	.epoll_wait = epoll_wait,
	.eventfd = eventfd,
	.fcntl = fcntl,
	.getpeername = getpeername,
	.getsockname = getsockname,
	.getsockopt = getsockopt,
	.ioctl = ioctl,
	.open = open,
	.pipe2 = pipe2,
	.poll = poll,
	.read = read,
	.recv = recv,
	.send = send,
	.setsockopt = setsockopt,
	.shutdown = shutdown,
	.socket = socket,
	.splice = splice,
	.write = write,
	.realloc = realloc,
};

EXPORT struct system *worker_system(void)
{
	return &sys;
}

int64_t now(void)
{
	struct timespec read;

	clock_gettime(CLOCK_MONOTONIC, &read);
	return read.tv_sec * SECOND + read.tv_nsec;
}
