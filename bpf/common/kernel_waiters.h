/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel structures of those who wait at a socket: wait queues and epoll's entries in them.
 * Included by bypass/wait_queue.h, bypass/waiters.h, bypass/wakers.bpf.c.
 */
#ifndef SOCKPROXY_KERNEL_WAITERS_H
#define SOCKPROXY_KERNEL_WAITERS_H

#include "common/kernel_files.h"
#include "common/kernel_types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef int (*wait_queue_func_t)(void);

struct wait_queue_entry {
	wait_queue_func_t func;
	struct list_head entry;
};

struct wait_queue_head {
	struct list_head head;
};

struct socket_wq {
	struct wait_queue_head wait;
	void *fasync_list;
};

struct eventpoll {
	struct wait_queue_head poll_wait;
};

struct epoll_filefd {
	struct file *file;
} __attribute__((packed));

struct epoll_event {
	__u32 events;
} __attribute__((packed));

struct epitem {
	struct epoll_filefd ffd;
	struct eventpoll *ep;
	struct epoll_event event;
};

struct eppoll_entry {
	struct epitem *base;
	struct wait_queue_entry wait;
};

#pragma clang attribute pop

#endif
