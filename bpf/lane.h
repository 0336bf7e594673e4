/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: one direction of a pair, and who may put messages into it.
 *
 * The reader grants (grant.h). When it sends, and has read all that ever came to it, it writes
 * down how far it has read what came by TCP, and how much may be charged from now on.
 * The sender bypasses only when that is all it ever sent by TCP, which nobody but
 * itself can change: so what was bypassed is read before what is sent by TCP later, and
 * never before what was sent by TCP earlier.
 *
 * tcp_bpf_sendmsg() lets go of the sender's lock before it puts the message into the other
 * end's queue. Meanwhile the lane is busy, and other threads' messages pass.
 */
#ifndef SOCKPROXY_LANE_H
#define SOCKPROXY_LANE_H

#include "bypass_maps.h"
#include "psock.h"
#include "waiters.h"

#define READ_SOME (1ULL << 32)
#define MESSAGE_OVERHEAD 1024 /* struct sk_msg, which kmalloc rounds up to this */
#define SEND_SHUTDOWN 2
#define TCP_NAGLE_OFF 1
#define CALM 64		/* turns */
#define MOST_IN_VAIN 32 /* messages in a row */

static __always_inline struct pair *find_pair(__u32 number)
{
	__u32 index = number - 1;

	return number ? bpf_map_lookup_elem(&pairs, &index) : NULL;
}

static __always_inline struct lane *lane_from(struct pair *pair, __u32 role)
{
	return &pair->lane[role == ROLE_ACCEPTER];
}

static __always_inline struct lane *lane_to(struct pair *pair, __u32 role)
{
	return &pair->lane[role != ROLE_ACCEPTER];
}

/* From now on every sender sees it closed or has been charged: the two sides write
 * first and then look at what the other wrote. */
static __always_inline void close_pair(struct pair *pair)
{
	__sync_lock_test_and_set(&pair->lane[0].closed, 1);
	__sync_lock_test_and_set(&pair->lane[1].closed, 1);
}

/* Nothing of this lane is granted or unread any more. */
static __always_inline void take_back(struct lane *lane)
{
	__s64 *sum = all_lent(), bytes = __sync_lock_test_and_set(&lane->lent, 0);

	if (sum && bytes)
		__sync_fetch_and_add(sum, -bytes);
}

/* The pair of a socket whose lock this program may not hold: unless it went to others
 * because the socket was closed meanwhile. */
static __always_inline struct pair *pair_of(const struct enrolled *me)
{
	struct pair *pair = find_pair(me->pair);

	if (!pair || pair->cookie[me->role == ROLE_ACCEPTER] != me->cookie)
		return NULL;
	return pair;
}

/* At once, for what was granted before. Both ways: with one alone the connection would
 * pay for being enrolled and gain half. */
static __always_inline void is_unfit(struct enrolled *me, __u32 trait)
{
	struct pair *pair = pair_of(me);

	__sync_fetch_and_or(&me->traits, trait);
	if (!pair)
		return;
	pair->unfit = 1;
	close_pair(pair);
}

/* Bytes by TCP follow: what was granted before them is void. Without this it would be good
 * again when the sequence numbers have gone round. */
static __always_inline void void_grant(struct lane *out)
{
	__u64 seen = out->read;

	if (seen)
		__sync_val_compare_and_swap(&out->read, seen, 0);
}

/* Will the reader find what comes by TCP behind this message? One that is never seen waiting, as
 * programs that poll while the answer is there already, gains nothing by being enrolled. */
static __always_inline int is_seen_waiting(struct enrolled *me, const struct lane *out)
{
	if (out->drains || will_look_again((struct sock *)out->reader, me->peer)) {
		me->vain = 0;
		return 1;
	}
	if (++me->vain == MOST_IN_VAIN)
		is_unfit(me, TRAIT_UNSEEN_PEER);
	return 0;
}

/*
 * A message that is bypassed acknowledges nothing. Where what the other end sent by TCP waits for
 * that, Nagle's algorithm would hold back what it sends next by TCP, until the timer of delayed
 * acknowledgements. So the answer goes by TCP, unless that end has TCP_NODELAY, or what it
 * sends next will surely be bypassed as well: this end has let it, is seen waiting whenever a
 * message comes, and messages have not grown for long. (Where one end has TCP_NODELAY it begins.)
 */
static __always_inline int may_owe(const struct enrolled *me, const struct lane *out,
				   const struct lane *in, struct tcp_sock *tp)
{
	struct tcp_sock *other = (struct tcp_sock *)out->reader;

	if (tp->rcv_nxt == tp->rcv_wup ||
	    BPF_CORE_READ_BITFIELD_PROBED(other, nonagle) & TCP_NAGLE_OFF)
		return 1;
	return in->sure && !in->closed && in->read == (READ_SOME | tp->copied_seq) &&
	       me->calm >= CALM;
}

/* Charge a message, if it may be bypassed. */
static __always_inline int charge(struct enrolled *me, struct lane *out, const struct lane *in,
				  struct tcp_sock *tp, __u32 size)
{
	__u64 price = (__u64)size + MESSAGE_OVERHEAD, thread = bpf_get_current_pid_tgid();
	struct sock *sk = (struct sock *)tp;

	if (out->read != (READ_SOME | tp->write_seq) || out->taken + price > out->limit ||
	    out->bytes + size > out->most)
		return 0;
	if (me->traits & TRAIT_STAMPS || sk->sk_shutdown & SEND_SHUTDOWN ||
	    (sk->__sk_common.skc_state != BPF_TCP_ESTABLISHED &&
	     sk->__sk_common.skc_state != BPF_TCP_CLOSE_WAIT))
		return 0;
	if (!may_owe(me, out, in, tp) || !is_seen_waiting(me, out))
		return 0;
	/* Its own message of before is there, as it is here. */
	if (out->busy && out->busy != thread)
		return 0;
	__sync_lock_test_and_set(&out->busy, thread);
	if (out->closed) {
		out->busy = 0;
		return 0;
	}
	out->taken += price;
	out->bytes += size;
	return 1;
}

static __always_inline void give_back(struct lane *out, __u32 size)
{
	out->taken -= (__u64)size + MESSAGE_OVERHEAD;
	out->bytes -= size;
	out->busy = 0;
}

/* What this thread was putting into the lane is there, or has failed. */
static __always_inline void is_through(struct lane *lane)
{
	if (lane->busy == bpf_get_current_pid_tgid())
		lane->busy = 0;
}

#endif
