/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One direction of a pair, and who may put messages into it: charge().
 * Included by bypass/grant.h, bypass/joint.h, bypass/message.h.
 *
 * The reader grants (grant.h). When it sends, and has read all that ever came to it, it writes
 * down how much it has read of what came by TCP, and how much may be charged from now on.
 * The sender bypasses only when that is as much as it ever sent by TCP, which nobody but
 * itself can change: so what was bypassed is read before what is sent by TCP later, and
 * never before what was sent by TCP earlier.
 *
 * tcp_bpf_sendmsg() lets go of the sender's lock before it puts the message into the other
 * end's queue. Meanwhile the lane is busy, and other threads' messages pass.
 */
#ifndef SOCKPROXY_LANE_H
#define SOCKPROXY_LANE_H

#include "bypass/pair.h"
#include "bypass/state.h"
#include "bypass/waiters.h"
#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define READ_SOME (1ULL << 32) /* tells a lane's `read` from 0, whatever was read */
#define MESSAGE_OVERHEAD 1024  /* struct sk_msg, which kmalloc rounds up to this */
#define CALM 64		       /* turns without one larger than all before: sizes are known */
#define MOST_IN_VAIN 32 /* messages whose reader was not seen waiting, beyond those made up for */
#define MAKES_UP_FOR 4	/* so many of them cost what one that is bypassed saves */
#define MOST_AHEAD 4096 /* messages in vain that can be made up for in advance */

/* How many bytes this socket was given to send by TCP since its connection began, modulo 2^32, and
 * how many its program has read. Counts, and not TCP's numbers: the two ends of a joint have
 * connections of their own, which each number anew. */
static __always_inline __u32 count_sent(const struct enrolled *me, struct tcp_sock *tp)
{
	return tp->write_seq -
	       (me->role == ROLE_ACCEPTER ? me->numbers.accepter_seq : me->numbers.opener_seq);
}

static __always_inline __u32 count_read(const struct enrolled *me, struct tcp_sock *tp)
{
	return tp->copied_seq -
	       (me->role == ROLE_ACCEPTER ? me->numbers.opener_seq : me->numbers.accepter_seq);
}

/* Bytes by TCP follow: what was granted before them is void. Without this it would be good
 * again when the sequence numbers have gone round. */
static __always_inline void void_grant(struct lane *out)
{
	__u64 seen = out->read;

	if (seen)
		__sync_val_compare_and_swap(&out->read, seen, 0);
}

/* Whether the reader finds what comes by TCP behind this message. A connection whose reader is
 * seldom seen waiting, as one that polls while the answer is there already, gains nothing by being
 * enrolled. On a busy CPU one and the same reader is found waiting for a while, and then not. */
static __always_inline int is_seen_waiting(struct enrolled *me, const struct lane *out,
					   __u64 reader)
{
	if (out->drains || will_look_again(out->reader, reader)) {
		if (me->vain > -MOST_AHEAD)
			me->vain -= MAKES_UP_FOR;
		return 1;
	}
	if (++me->vain >= MOST_IN_VAIN)
		is_unfit(me, TRAIT_UNSEEN_PEER);
	return 0;
}

/*
 * Whether this message may leave an acknowledgement owed to the other end.
 *
 * A message that is bypassed acknowledges nothing. Where what the other end sent by TCP waits for
 * that, Nagle's algorithm would hold back what it sends next by TCP, until the timer of delayed
 * acknowledgements. So the answer goes by TCP, unless that end has TCP_NODELAY, or what it
 * sends next will surely be bypassed as well: this end has let it, is seen waiting whenever a
 * message comes, and messages have not grown for long. (So messages to an end with TCP_NODELAY are
 * the first to be bypassed.)
 */
static __always_inline int may_owe(const struct enrolled *me, struct pair *pair,
				   struct tcp_sock *tp)
{
	const struct lane *out = lane_from(pair, me->role), *in = lane_to(pair, me->role);
	struct tcp_sock *other = (struct tcp_sock *)out->reader;

	/* What the reader sent is acknowledged by the proxy in between, not by this end. */
	if (pair->holders ? LOAD(other, snd_una) == LOAD(other, write_seq)
			  : tp->rcv_nxt == tp->rcv_wup)
		return 1;
	if (LOAD_BITS(other, nonagle) & TCP_NAGLE_OFF)
		return 1;
	return in->sure && !in->closed && in->read == (READ_SOME | count_read(me, tp)) &&
	       me->calm >= CALM;
}

/* Charge a message of `size` bytes to the lane out of `me` if it may be bypassed; 0 if it may not.
 */
static __always_inline int charge(struct enrolled *me, struct pair *pair, struct tcp_sock *tp,
				  __u32 size)
{
	struct lane *out = lane_from(pair, me->role);
	__u64 price = (__u64)size + MESSAGE_OVERHEAD, thread = bpf_get_current_pid_tgid();
	struct sock *sk = (struct sock *)tp;

	if (out->read != (READ_SOME | count_sent(me, tp)) || out->taken + price > out->limit ||
	    out->bytes + size > out->most)
		return 0;
	if (me->traits & TRAIT_STAMPS || sk->sk_shutdown & SEND_SHUTDOWN ||
	    (sk->__sk_common.skc_state != BPF_TCP_ESTABLISHED &&
	     sk->__sk_common.skc_state != BPF_TCP_CLOSE_WAIT))
		return 0;
	if (!may_owe(me, pair, tp) || !is_seen_waiting(me, out, peer_in(pair, me->role)))
		return 0;
	/* Another thread's message is on its way. One of this thread is not: it sends again, so
	 * its call before has put that into the queue. */
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

/* Undo charge(): the message could not be put into the queue. */
static __always_inline void give_back(struct lane *out, __u32 size)
{
	out->taken -= (__u64)size + MESSAGE_OVERHEAD;
	out->bytes -= size;
	out->busy = 0;
}

#endif
