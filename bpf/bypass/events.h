/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Telling those who listen what happens to sockets: tell().
 * Included by bypass/join.h, bypass/leave.h, bypass/message.h, bypass/part.h.
 *
 * A listener makes its ring buffer itself, puts it into `rings` and says until when it will have
 * looked again: one that was killed costs nothing any more then, and while nobody listens there is
 * one load where something happens, and none with each message. What a ring has no room for is
 * counted.
 */
#ifndef SOCKPROXY_EVENTS_H
#define SOCKPROXY_EVENTS_H

#include "abi/events.h"
#include "bypass/maps.h"
#include "bypass/pair.h"
#include "common/cast.h"
#include "common/ends.h"
#include "common/kernel_sockets.h"
#include "common/kernel_tasks.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* The one that does it: in these the current thread is of the socket's program. */
static __always_inline void name_sender(struct event *event)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	event->process = LOAD(task, tgid);
	BPF_CORE_READ_STR_INTO(&event->program, task, group_leader, comm);
}

static __always_inline void describe_end(struct event *event, const struct enrolled *me)
{
	struct pair *pair = find_pair(me->pair);

	event->cookie = me->cookie;
	event->sent = me->sent;
	event->role = me->role;
	event->plain = me->plain;
	event->traits = me->traits;
	if (!pair || pair->cookie[me->role == ROLE_ACCEPTER] != me->cookie)
		return;
	event->peer = peer_in(pair, me->role);
	if (me->plain == PLAIN_PEER_UNSEEN) /* as an opener's stays */
		event->plain = PLAIN_NOT;
}

static __always_inline void describe_socket(struct event *event, struct sock *sk)
{
	struct two_ends both = {};

	read_ends(&both, sk);
	COPY_ENDS(event, &both);
	event->cgroup = cgroup_of(sk);
	event->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	event->bytes_sent = payload_sent((struct tcp_sock *)sk);
}

/* Tell the listener of this number, if there is one. me: NULL of a socket that is not enrolled,
 * whose role is `role`. */
static __always_inline void tell_one(struct listeners *all, __u32 number, __u64 now,
				     struct enrolled *me, struct sock *sk, __u32 kind, __u32 role)
{
	struct event *event;
	__u32 slot = number; /* a copy, for what has an address is any number to the verifier */
	void *ring;

	if (all->until[number] <= now)
		return;
	ring = bpf_map_lookup_elem(&rings, &slot);
	if (!ring)
		return;
	event = bpf_ringbuf_reserve(ring, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&all->lost[number], 1);
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->when = now;
	event->kind = kind;
	event->role = role;
	if (me)
		describe_end(event, me);
	describe_socket(event, sk);
	if (kind == EVENT_BEGAN || kind == EVENT_FELL_BACK ||
	    (kind == EVENT_LEFT_OUT && role == ROLE_OPENER))
		name_sender(event);
	/* Listeners look by themselves: to wake them with each record would cost more. */
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/* Tell whoever listens. address: of the socket. */
static __always_inline void tell_each(struct enrolled *me, __u64 address, __u32 kind, __u32 role)
{
	struct listeners *all = all_listeners();
	__u64 now = bpf_ktime_get_ns();
	__u32 number;

	for (number = 0; all && number < MOST_LISTENERS; number++)
		tell_one(all, number, now, me, (struct sock *)address, kind, role);
}

/* This and the next are global, so that the verifier looks at each once for each program, and not
 * for each state it is called in. They are two, for it wants to know that `me` is not NULL. */
__attribute__((noinline)) int tell_enrolled(struct enrolled *me, __u64 address, __u32 kind)
{
	if (me)
		tell_each(me, address, kind, me->role);
	return 0;
}

__attribute__((noinline)) int tell_left_out(__u64 address, __u32 role)
{
	tell_each(NULL, address, EVENT_LEFT_OUT, role);
	return 0;
}

static __always_inline int is_heard(void)
{
	struct listeners *all = all_listeners();

	return all && all->any;
}

/* The address of a socket, as a number: by a detour, for what bpf_probe_read_kernel() has read is
 * one to the verifier. */
static __always_inline __u64 address_of(struct tcp_sock *tp)
{
	struct tcp_sock *volatile place = tp;
	__u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), (void *)&place);
	return address;
}

/* Something has happened to the socket, as `kind` says. */
static __always_inline void tell(struct enrolled *me, struct tcp_sock *tp, __u32 kind)
{
	if (is_heard())
		tell_enrolled(me, address_of(tp), kind);
}

#endif
