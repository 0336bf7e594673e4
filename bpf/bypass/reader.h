/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How enrolled sockets are read, and when a message has arrived: seen from tracepoints.
 * Included by bypass/bypass.bpf.c.
 *
 * Only recvmsg finds what a bypass queue holds. A reader that was seen to need more is granted
 * nothing any more, and neither is any other socket that the same program reads. Every flow begins
 * by TCP, so that its reader shows itself before anything is granted.
 */
#ifndef SOCKPROXY_WATCH_H
#define SOCKPROXY_WATCH_H

#include "bypass/acceptor.h"
#include "bypass/blocking.h"
#include "bypass/executable.h"
#include "bypass/found_blocking.h"
#include "bypass/grant.h"
#include "bypass/maps.h"
#include "bypass/pair.h"
#include "bypass/program.h"
#include "bypass/syscall.h"
#include "common/kernel_sockets.h"
#include "common/psock.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* The entry of a socket that is in the sockmap, or NULL. The tracepoints run for all sockets of the
 * machine: one without a psock is in no sockmap, and is told apart first. */
static __always_inline struct enrolled *enrolled_in_map(struct sock *sk)
{
	struct enrolled *me;

	if (!sk->sk_user_data)
		return NULL;
	me = bpf_sk_storage_get(&ends, sk, 0, 0);
	return me && me->in_map ? me : NULL;
}

/* How many bytes the reader has read that were all there at once when it began on them; 0 while it
 * has not read them all. */
static __always_inline __u32 prove(struct enrolled *me, struct tcp_sock *tp)
{
	__u32 copied = tp->copied_seq, proven;

	if (me->run_end == me->run_begin)
		me->run_end = tp->rcv_nxt;
	if ((__s32)(copied - me->run_end) < 0)
		return 0;
	proven = me->run_end - me->run_begin;
	me->run_begin = me->run_end = copied;
	return proven;
}

/* The current thread reads this socket: remember of its program how it reads, and take over for the
 * socket what was remembered before. `proven` as prove() gave it. */
static __always_inline void meet_reader(struct enrolled *me, struct sock *sk, __u32 trait,
					__u32 proven)
{
	struct program_record seen = {}, *known;
	struct runner name = {};

	name_runner(&name);
	known = recall(&name);
	seen.traits = trait & ~TRAIT_BLOCKS; /* that is a socket's, not its program's */
	seen.proven = proven;
	seen.turns = (me->turns + 1) / 2;
	seen.last = seen.traits & UNFIT_READER ? bpf_ktime_get_ns() : 0;
	remember(&name, known, &seen);
	if (trait & TRAIT_BLOCKS)
		remember_blocking(sk, me->role);
	if (known) {
		trait |= known->traits;
		proven = known->proven;
		if (known->turns >= LONG_RECORD && me->turns && me->turns < TURNS)
			me->turns = TURNS;
	}
	if (is_drainer(&name.file))
		trait |= TRAIT_DRAINS;
	else
		__sync_fetch_and_and(&me->traits, ~TRAIT_DRAINS);
	if (!me->reader && is_left_alone(known)) {
		/* The program has listened since before this bypass, or was given the socket. */
		trait |= TRAIT_LEFT_ALONE;
		if (me->role == ROLE_ACCEPTER)
			note_accepted(sk, PLAIN_PROGRAM);
	}
	me->reader = bpf_get_current_pid_tgid();
	if (me->proven < proven)
		me->proven = proven;
	if (trait & UNFIT_READER)
		is_unfit(me, trait);
	else
		__sync_fetch_and_or(&me->traits, trait);
}

/* The current thread has read what came by TCP: tcp_rcv_space_adjust(). */
static __always_inline void see_reader(struct sock *sk)
{
	struct enrolled *me = enrolled_in_map(sk);
	struct tcp_sock *tp;
	__u32 trait, proven;

	if (!me)
		return;
	tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	trait = trait_of_call() | trait_of_mode(sk);
	/* Many programs peek at the first message to tell protocols apart. That says nothing. */
	if (trait & TRAIT_PEEKS && !me->turns)
		return;
	proven = prove(me, tp);
	me->turns += proven > 0;
	if (proven)
		me->calm = proven > me->proven ? 0 : me->calm + 1;
	if (me->reader == bpf_get_current_pid_tgid() && (me->traits & trait) == trait &&
	    proven <= me->proven && (!proven || me->turns & (me->turns - 1)))
		return;
	meet_reader(me, sk, trait, proven);
}

/* The current thread's message to this socket is in its queue. */
static __always_inline void note_arrival(struct enrolled *me)
{
	/* No learn_peer() here, where the lock may not be held: it could bring back the number of a
	 * pair that has parted. And a socket that has granted knows its pair. */
	struct pair *pair = pair_of(me);

	if (pair)
		is_through(lane_to(pair, me->role));
}

/* `sk` was told that there is something to read: sock_def_readable(). If that is what the current
 * thread was putting into the bypass queue, the lane is not busy any more. */
static __always_inline void see_arrival(struct sock *sk)
{
	struct enrolled *me = enrolled_in_map(sk);

	/* bpf_tcp_ingress() holds the lock; a softirq that delivers to it does not. */
	if (me && sk->sk_lock.owned && !is_bypass_queue_empty((struct tcp_sock *)sk))
		note_arrival(me);
}

/* tcp_bpf_sendmsg_redir() has put the message into the queue of `sk`, or failed to. */
static __always_inline void see_redirected(struct sock *sk)
{
	struct enrolled *me = enrolled_in_map(sk);

	if (me)
		note_arrival(me);
}

#endif
