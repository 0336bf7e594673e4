/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The system calls of the worker, in one table: tests put their own in its place, which fail, are
 * short or count. Each is as in its manual page.
 * Included by most.
 */
#ifndef SOCKPROXY_SYSTEM_H
#define SOCKPROXY_SYSTEM_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/types.h>

struct system {
	int (*accept4)(int, struct sockaddr *, socklen_t *, int);
	int (*close)(int);
	int (*connect)(int, const struct sockaddr *, socklen_t);
	int (*epoll_create1)(int);
	int (*epoll_ctl)(int, int, int, struct epoll_event *);
	int (*epoll_wait)(int, struct epoll_event *, int, int);
	int (*eventfd)(unsigned int, int);
	int (*fcntl)(int, int, ...);
	int (*getpeername)(int, struct sockaddr *, socklen_t *);
	int (*getsockname)(int, struct sockaddr *, socklen_t *);
	int (*getsockopt)(int, int, int, void *, socklen_t *);
	int (*ioctl)(int, unsigned long, ...);
	int (*open)(const char *, int, ...);
	int (*pipe2)(int[2], int);
	int (*poll)(struct pollfd *, nfds_t, int);
	ssize_t (*read)(int, void *, size_t);
	ssize_t (*recv)(int, void *, size_t, int);
	ssize_t (*send)(int, const void *, size_t, int);
	int (*setsockopt)(int, int, int, const void *, socklen_t);
	int (*shutdown)(int, int);
	int (*socket)(int, int, int);
	ssize_t (*splice)(int, loff_t *, int, loff_t *, size_t, unsigned int);
	ssize_t (*write)(int, const void *, size_t);
	void *(*realloc)(void *, size_t);
};

#define SECOND 1000000000LL /* ns */
#define MILLISECOND 1000000LL

/* A call that a signal has interrupted before it did anything is made again. */
#define RETRY(call)                                                                                \
	({                                                                                         \
		__typeof__(call) result;                                                           \
		do                                                                                 \
			result = (call);                                                           \
		while (result < 0 && errno == EINTR);                                              \
		result;                                                                            \
	})

extern struct system sys;

/* The table, for tests in Python. */
struct system *worker_system(void);

/* CLOCK_MONOTONIC, in ns. */
int64_t now(void);

#endif
