/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The pair that two sockets of one connection share: finding it, closing its lanes, and giving it
 * back when both ends have gone. Pairs have numbers from 1, so that 0 means none.
 * Included by bypass/fionread.h, bypass/found_blocking.h, bypass/grant.h, bypass/join.h,
 * bypass/lane.h, bypass/leave.h, bypass/listing.h, bypass/message.h, bypass/options.h,
 * bypass/pairing.h, bypass/part.h, bypass/reader.h.
 */
#ifndef SOCKPROXY_PAIR_H
#define SOCKPROXY_PAIR_H

#include "bypass/maps.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static __always_inline struct pair *find_pair(__u32 number)
{
	__u32 index = number - 1;

	return number ? bpf_map_lookup_elem(&pairs, &index) : NULL;
}

/* The pair of a socket whose lock this program may not hold. NULL also when that socket was closed
 * meanwhile and its pair given to two others. */
static __always_inline struct pair *pair_of(const struct enrolled *me)
{
	struct pair *pair = find_pair(me->pair);

	if (!pair || pair->cookie[me->role == ROLE_ACCEPTER] != me->cookie)
		return NULL;
	return pair;
}

/* The lane that the end of this role sends into. */
static __always_inline struct lane *lane_from(struct pair *pair, __u32 role)
{
	return &pair->lane[role == ROLE_ACCEPTER];
}

/* The lane that the end of this role reads from. */
static __always_inline struct lane *lane_to(struct pair *pair, __u32 role)
{
	return &pair->lane[role != ROLE_ACCEPTER];
}

/* Nothing more may enter the lanes. A sender marks its lane busy and then looks whether it is
 * closed; whoever closes and then finds it not busy knows that no message is on its way. */
static __always_inline void close_pair(struct pair *pair)
{
	__sync_lock_test_and_set(&pair->lane[0].closed, 1);
	__sync_lock_test_and_set(&pair->lane[1].closed, 1);
}

/* This end is read or written in a way that needs TCP, as `trait` says. Close the lanes, so that
 * what was granted before is void at once. Both lanes: with one alone the connection would pay for
 * being enrolled and gain half. */
static __always_inline void is_unfit(struct enrolled *me, __u32 trait)
{
	struct pair *pair = pair_of(me);

	__sync_fetch_and_or(&me->traits, trait);
	if (!pair)
		return;
	pair->unfit = 1;
	close_pair(pair);
}

/* The message that this thread was putting into the lane is in the queue now, or has failed. */
static __always_inline void is_through(struct lane *lane)
{
	if (lane->busy == bpf_get_current_pid_tgid())
		lane->busy = 0;
}

/* Nothing of this lane is granted or unread any more: others may be granted as much. */
static __always_inline void take_back(struct lane *lane)
{
	__s64 *sum = all_lent(), bytes = __sync_lock_test_and_set(&lane->lent, 0);

	if (sum && bytes)
		__sync_fetch_and_add(sum, -bytes);
}

/* The number of a pair that is not in use, or 0. */
static __always_inline __u32 take_pair(void)
{
	__u32 zero = 0, number, *begun;

	if (!bpf_map_pop_elem(&free_pairs, &number))
		return number;
	begun = bpf_map_lookup_elem(&pairs_begun, &zero);
	if (!begun || !find_pair(*begun + 1)) /* so that the count stays where the pairs end */
		return 0;
	return __sync_fetch_and_add(begun, 1) + 1;
}

/* One end of the pair has gone. The second that goes gives the pair back. */
static __always_inline void leave_pair(__u32 number)
{
	struct pair *pair = find_pair(number);

	if (!pair || !__sync_fetch_and_add(&pair->parted, 1))
		return;
	take_back(&pair->lane[0]);
	take_back(&pair->lane[1]);
	__builtin_memset(pair, 0, sizeof(*pair)); /* no blank one on the stack, which is full */
	bpf_map_push_elem(&free_pairs, &number, 0);
}

/* The opener is established first and cannot know its other end then. Its next program copies what
 * the accepter has left in `peers`. */
static __always_inline void learn_peer(struct enrolled *me)
{
	__u64 cookie = me->cookie;
	struct peer *peer;

	if (me->pair)
		return;
	peer = bpf_map_lookup_elem(&peers, &cookie);
	if (!peer)
		return;
	me->peer = peer->cookie;
	me->pair = peer->pair;
}

/* The socket with this cookie has no other end any more. 0 when it had none already. */
static __always_inline int forget_peer(__u64 cookie)
{
	struct peer *peer = bpf_map_lookup_elem(&peers, &cookie);
	__u32 number;

	if (!peer)
		return 0;
	number = peer->pair;
	if (bpf_map_delete_elem(&peers, &cookie))
		return 0;
	leave_pair(number);
	return 1;
}

#endif
