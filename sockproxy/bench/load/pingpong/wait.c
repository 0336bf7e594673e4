// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "pingpong.h"

static int epoll = -1; /* of this process; none where reads block */

void wait_in_epoll(void)
{
	epoll = epoll_create1(0);
	if (epoll < 0)
		fail("pingpong: epoll_create1");
}

static void do_not_block(int fd)
{
	if (fcntl(fd, F_SETFL, O_NONBLOCK))
		fail("pingpong: fcntl");
}

int waits_in_epoll(void)
{
	return epoll >= 0;
}

void prepare(int fd)
{
	if (epoll >= 0)
		do_not_block(fd);
}

void watch(int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (epoll < 0)
		return;
	do_not_block(fd);
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		fail("pingpong: epoll_ctl");
}

/* Reads what is there, and waits only when nothing is: as Go, memcached and PostgreSQL do. */
ssize_t read_some(int fd, void *to, size_t size)
{
	struct epoll_event event;
	ssize_t got;

	while ((got = read(fd, to, size)) < 0 && epoll >= 0 && errno == EAGAIN)
		if (epoll_wait(epoll, &event, 1, -1) < 0 && errno != EINTR)
			fail("pingpong: epoll_wait");
	return got;
}

ssize_t write_some(int fd, const void *from, size_t size)
{
	struct pollfd room = {.fd = fd, .events = POLLOUT};
	ssize_t put;

	while ((put = write(fd, from, size)) < 0 && epoll >= 0 && errno == EAGAIN)
		poll(&room, 1, -1);
	return put;
}

/* The listener blocks where readers do: that is what a bypass judges a server by before it has
 * accepted anything. Of the workers that wait for it one is woken. */
int next_connection(int listener)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};
	static int gate = -1;
	int fd;

	if (epoll >= 0 && gate < 0) {
		gate = epoll_create1(0);
		if (gate < 0 || epoll_ctl(gate, EPOLL_CTL_ADD, listener, &event))
			fail("pingpong: epoll");
	}
	while ((fd = accept(listener, NULL, NULL)) < 0 && epoll >= 0 && errno == EAGAIN)
		epoll_wait(gate, &event, 1, -1);
	return fd;
}

void no_delay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* not of AF_UNIX */
}
