/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the worker asks of the kernel's sockmaps and of a bypass, so that a test can put its own in
 * its place. sockmap.c and circuit.c are the real ones.
 * Included by circuit.c, connection.h, sockmap.c.
 *
 * Calls answer 0 or more, or a negative errno; what they had begun is then undone. Slots number
 * the sockets of a worker, from 0.
 */
#ifndef SOCKPROXY_KERNEL_H
#define SOCKPROXY_KERNEL_H

#include "door.h"

struct kernel {
	/* Take over the slot that sock_ops gave the socket, or give it one, and a psock: the slot,
	 * which is the caller's to release. -ENOSPC when all are taken. */
	int (*enrol)(struct kernel *kernel, int fd, uint64_t cookie);
	/* Give the socket a new psock, for only a new one can start a strparser safely. What was
	 * redirected to the socket must have been sent, and nothing may be redirected to it
	 * meanwhile. 0: the old one is still in use; 1: done. */
	int (*renew)(struct kernel *kernel, int slot, int fd);
	/* Let the kernel take the socket's bytes, as its direction says. */
	int (*start)(struct kernel *kernel, int slot, int fd);
	/* Give the bytes back to user space. The strparser must have stopped by itself or be at the
	 * end of the stream: see channel.h. */
	int (*stop)(struct kernel *kernel, int slot);
	/* Take the socket out of everything and free its slot. */
	void (*release)(struct kernel *kernel, int slot, uint64_t cookie);
	/* 1: `seen` is the socket's state; 0: it is in no map, as it was reset or closed. */
	int (*inspect)(struct kernel *kernel, int slot, struct inspection *seen);
	/* The struct direction of the bytes that come from the slot, shared with BPF. */
	struct direction *(*direction)(struct kernel *kernel, int slot);
	/* The slot of one more direction that was held; negative: none. */
	int (*take_hold)(struct kernel *kernel);
	int holds_fd; /* polls readable when directions were held */
	int capacity;
};

/* An attached bypass, in which the two far ends of a proxied connection may be joined. */
struct circuit {
	/* Do it, and tell how it stands then. From any thread. */
	int (*ask)(struct circuit *circuit, uint32_t action, uint64_t client, uint64_t upstream,
		   struct past *answer);
	/* Nobody uses it any more. */
	void (*free)(struct circuit *circuit);
	int fd;
	uint32_t stopped; /* it is detached: what went past is told, and no more will be */
	uint32_t users;	  /* who made it, and each joint */
};

#endif
