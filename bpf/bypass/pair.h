/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The pair that two sockets of one connection share: finding it, closing its lanes, and giving it
 * back when both ends have gone. Pairs have numbers from 1, so that 0 means none.
 * Included by bypass/chain.h, bypass/events.h, bypass/fionread.h, bypass/found_blocking.h,
 * bypass/grant.h, bypass/join.h, bypass/joint.h, bypass/lane.h, bypass/leave.h, bypass/listing.h,
 * bypass/message.h, bypass/middle.h, bypass/options.h, bypass/pairing.h, bypass/part.h,
 * bypass/reader.h.
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

/* The joint of which the pair is a part, or NULL. */
static __always_inline struct pair *joint_of(const struct pair *pair)
{
	return find_pair((__u32)pair->joint);
}

/* The pair whose lanes a socket sends into and reads from: the joint of its own, if there is one.
 * All that asks about lanes asks this, so that sender, reader and who takes sockets out have the
 * same in mind. NULL also when this program does not hold the lock of the socket, which was closed
 * meanwhile and its pair given to two others. */
static __always_inline struct pair *with_joint(struct pair *pair, __u64 cookie, __u32 role)
{
	struct pair *joint;
	int number = role == ROLE_ACCEPTER;

	if (!pair || pair->cookie[number] != cookie)
		return NULL;
	joint = joint_of(pair);
	return joint && joint->cookie[number] == cookie ? joint : pair;
}

static __always_inline struct pair *pair_of(const struct enrolled *me)
{
	return with_joint(find_pair(me->pair), me->cookie, me->role);
}

/* Cookie of the socket at the other end. */
static __always_inline __u64 peer_in(const struct pair *pair, __u32 role)
{
	return pair->cookie[role != ROLE_ACCEPTER];
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

/* Nothing more may enter the lanes of this socket, whichever they are: a joint that is made at this
 * moment looks at the lanes of its pairs when it can be seen. */
static __always_inline void close_pair_of(const struct enrolled *me)
{
	struct pair *pair = find_pair(me->pair), *joint;

	if (!pair || pair->cookie[me->role == ROLE_ACCEPTER] != me->cookie)
		return;
	close_pair(pair);
	joint = joint_of(pair);
	if (joint)
		close_pair(joint);
}

/* The same for the one lane that leads to the socket, or that leads from it. */
static __always_inline void close_lane_of(const struct enrolled *me, int to)
{
	struct pair *pair = find_pair(me->pair), *joint;
	int number = (me->role == ROLE_ACCEPTER) != to;

	if (!pair || pair->cookie[me->role == ROLE_ACCEPTER] != me->cookie)
		return;
	__sync_lock_test_and_set(&pair->lane[number].closed, 1);
	joint = joint_of(pair);
	if (joint)
		__sync_lock_test_and_set(&joint->lane[number].closed, 1);
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
	pair->why = PLAIN_UNFIT;
	close_pair_of(me);
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

#define GIVEN_BACK (1ULL << 32) /* once, in the upper half of `joint` */

/* Nobody uses the pair any more. Returns the joint that it was a part of, or 0. */
static __always_inline __u32 give_pair_back(struct pair *pair, __u32 number)
{
	__u64 joint = pair->joint, before;

	take_back(&pair->lane[0]);
	take_back(&pair->lane[1]);
	/* no blank one on the stack, which is full */
	__builtin_memset(pair, 0, __builtin_offsetof(struct pair, joint));
	/* A proxy that has seen who the pair was may be about to write its joint here: that fails
	 * from now on. */
	before = __sync_lock_test_and_set(&pair->joint, (joint & ~(GIVEN_BACK - 1)) + GIVEN_BACK);
	bpf_map_push_elem(&free_pairs, &number, 0);
	return before;
}

/* A pair that was a part of the joint was given back. With the last the joint is. */
static __always_inline void leave_joint(__u32 number)
{
	struct pair *joint = find_pair(number);

	if (joint && __sync_fetch_and_add(&joint->holders, -1) == 1)
		give_pair_back(joint, number);
}

/* One end of the pair has gone. The second that goes gives the pair back. */
static __always_inline void leave_pair(__u32 number)
{
	struct pair *pair = find_pair(number);

	if (pair && __sync_fetch_and_add(&pair->parted, 1))
		leave_joint(give_pair_back(pair, number));
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
	me->pair = peer->pair;
}

/* The socket with this cookie has no other end any more. 0 when it had none already. */
static __always_inline int forget_peer(__u64 cookie)
{
	struct peer *peer = bpf_map_lookup_elem(&peers, &cookie);
	struct pair *pair, *joint;
	__u32 number;

	if (!peer)
		return 0;
	number = peer->pair;
	if (bpf_map_delete_elem(&peers, &cookie))
		return 0;
	/* Whoever joins looks into `peers` when its joint can be seen, and at the lanes, which a
	 * change to CLOSE has closed before. */
	pair = find_pair(number);
	joint = pair ? joint_of(pair) : NULL;
	if (joint)
		close_pair(joint);
	leave_pair(number);
	return 1;
}

#endif
