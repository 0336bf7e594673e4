/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How those wait that are told when a socket has something to read: by level or by edges.
 * Included by bypass/fionread.h, bypass/grant.h, bypass/lane.h.
 *
 * tcp_bpf_recvmsg() returns what the bypass queue holds and never appends what came by TCP behind
 * it. Both may have arrived before the reader was told, and it is told once: a reader that was
 * promised edges (EPOLLET) may take the short read for all that there is, and then waits for ever.
 * One that is asked again by poll, by epoll without EPOLLET or by the next recv finds the rest.
 *
 * Wait queues are read without their lock, and an eppoll_entry is freed without RCU
 * (ep_unregister_pollwait()). So a walk counts only when it ends at the head that it began
 * at, and when each entry is known, and still what it was after all of it was read.
 */
#ifndef SOCKPROXY_WAITERS_H
#define SOCKPROXY_WAITERS_H

#include "bypass/blocking.h"
#include "bypass/maps.h"
#include "bypass/wait_queue.h"
#include "common/cast.h"
#include "common/kernel_sockets.h"
#include "common/kernel_waiters.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define MOST_WAITERS 8
#define EPOLLET (1U << 31)

enum waiting {
	WAITING_NOT = 0,
	WAITING_LEVEL = 1,
	WAITING_EDGE = 2,
	WAITING_UNKNOWN = 3, /* or the queue changed while it was read */
};

struct waiters {
	enum waiting kind; /* the worst of them */
	__s64 polls;	   /* that wait in poll or select, each with a reference to the file */
};

/* Whether another epoll set watches this one. It may watch by edges, so only a set for which poll
 * and epoll_wait(2) alone wait is known to be told by level. */
static __always_inline int is_watched(struct eventpoll *set, const struct wakers *known)
{
	struct list_head *head = &set->poll_wait.head;
	struct list_head *entry = LOAD(head, next);
	int number;

	for (number = 0; number < 2 && entry && entry != head; number++) {
		if ((__u64)LOAD(waiter_at(entry), func) != known->poll)
			return 1;
		entry = LOAD(entry, next);
	}
	return entry != head;
}

/* How the epoll set waits that this waiter of the socket of `file` belongs to. */
static __always_inline enum waiting judge_item(struct wait_queue_entry *waiter, struct file *file,
					       const struct wakers *known)
{
	struct eppoll_entry *entry =
		(void *)waiter - bpf_core_field_offset(struct eppoll_entry, wait);
	struct epitem *item = LOAD(entry, base);
	struct file *owner = LOAD(item, ffd.file);
	__u32 events = LOAD(item, event.events);
	int watched = is_watched(LOAD(item, ep), known);

	/* If the entry was freed meanwhile, what was read may be anything. */
	if ((__u64)LOAD(waiter, func) != known->epoll || LOAD(entry, base) != item || owner != file)
		return WAITING_UNKNOWN;
	if (events & EPOLLET)
		return WAITING_EDGE;
	return watched ? WAITING_UNKNOWN : WAITING_LEVEL;
}

/* Who waits at the socket that lies at `address`, whose lock need not be held: in the lowest byte
 * the worst of them (enum waiting), above it how many poll. Not inlined and global, so that the
 * verifier looks at it once. */
__attribute__((noinline)) __u32 walk_waiters(__u64 address)
{
	struct sock *sk = (struct sock *)address;
	struct wakers *known = known_wakers();
	struct socket_wq *wq = LOAD(sk, sk_wq);
	struct list_head *entry, *next, *head = &wq->wait.head;
	struct file *file = file_of(sk);
	__u32 worst = WAITING_NOT, kind, polls = 0;
	struct wait_queue_entry *waiter;
	int number;
	__u64 func;

	/* SIGIO is an edge as well. */
	if (!known || !wq || !file || LOAD(wq, fasync_list))
		return WAITING_UNKNOWN;
	entry = LOAD(head, next);
	for (number = 0; number < MOST_WAITERS && entry && entry != head; number++) {
		waiter = waiter_at(entry);
		next = LOAD(entry, next); /* before judge_item(), which looks whether it was one */
		func = (__u64)LOAD(waiter, func);
		kind = WAITING_UNKNOWN;
		if (func && (func == known->poll || func == known->sleep))
			kind = WAITING_LEVEL;
		else if (func && func == known->epoll)
			kind = judge_item(waiter, file, known);
		polls += func == known->poll;
		worst = kind > worst ? kind : worst;
		entry = next;
	}
	return (entry == head ? worst : WAITING_UNKNOWN) | polls << 8;
}

static __always_inline void unpack(struct waiters *found, __u32 seen)
{
	found->kind = seen & 0xff;
	found->polls = seen >> 8;
}

static __always_inline void read_waiters(struct waiters *found, struct sock *sk)
{
	/* The address of `sk` itself, by a detour: the verifier wants a number here, and takes what
	 * bpf_probe_read_kernel() read for one. */
	unpack(found, walk_waiters((__u64)BPF_CORE_READ(sk, sk_socket, sk)));
}

/*
 * Whether the reader of the socket at `address` will look again when a read has given less than it
 * had room for. The sender at the other end asks that when it sends. Nothing keeps the socket alive
 * then, but what lies there is some socket always (SLAB_TYPESAFE_BY_RCU), and its cookie tells
 * whether it is the same.
 */
static __always_inline int will_look_again(__u64 address, __u64 cookie)
{
	struct sock *sk = (struct sock *)address;
	struct waiters now;

	unpack(&now, walk_waiters(address));
	if (now.kind != WAITING_LEVEL && (now.kind != WAITING_NOT || !is_blocking(sk)))
		return 0;
	return LOAD(sk, __sk_common.skc_cookie.counter) == cookie;
}

#endif
