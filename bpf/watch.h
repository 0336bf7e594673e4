/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: how enrolled sockets are read, seen from tracepoints. What a bypass
 * queue holds is found by recvmsg alone: a reader that was seen to need more is granted
 * nothing any more, and neither is any other socket that the same executable reads.
 *
 * Every flow begins by TCP, so that its reader shows itself before anything is granted.
 */
#ifndef SOCKPROXY_WATCH_H
#define SOCKPROXY_WATCH_H

#include "bypass_maps.h"
#include "lane.h"
#include "message.h"
#include "program.h"
#include "syscall.h"

/* All sockets of the machine come here: those without a psock are none of ours. */
static __always_inline struct enrolled *enrolled_in_map(struct sock *sk)
{
	struct enrolled *me;

	if (!sk->sk_user_data)
		return NULL;
	me = bpf_sk_storage_get(&ends, sk, 0, 0);
	return me && me->in_map ? me : NULL;
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

static __always_inline void remember_program(const struct program *name,
					     struct program_record *known, __u32 traits,
					     __u32 proven)
{
	struct program_record fresh = {.traits = traits, .proven = proven};

	if (!known) {
		bpf_map_update_elem(&programs, name, &fresh, BPF_NOEXIST);
		return;
	}
	__sync_fetch_and_or(&known->traits, traits);
	if (known->proven < proven)
		known->proven = proven;
}

/* Bytes that were there at once when the reader began on them, when it has read them all. */
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

/* A thread has read what came by TCP: tcp_rcv_space_adjust(). */
static __always_inline void see_reader(struct sock *sk)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct enrolled *me = enrolled_in_map(sk);
	struct program_record *known;
	struct program name = {};
	struct tcp_sock *tp;
	__u32 trait, proven;

	if (!me)
		return;
	tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	trait = trait_of_call();
	proven = prove(me, tp);
	if (me->reader == thread && (me->traits & trait) == trait && proven <= me->proven)
		return;
	name_program(&name);
	known = bpf_map_lookup_elem(&programs, &name);
	remember_program(&name, known, trait, proven);
	if (known) {
		trait |= known->traits;
		proven = known->proven;
	}
	if (!me->reader && is_left_alone()) {
		/* It listened before this bypass was attached, or was given the socket. */
		trait |= TRAIT_LEFT_ALONE;
		if (me->role == ROLE_ACCEPTER)
			note_acceptor(sk);
	}
	me->reader = thread;
	if (me->proven < proven)
		me->proven = proven;
	if (trait & UNFIT_READER)
		is_unfit(me, trait);
	else
		__sync_fetch_and_or(&me->traits, trait);
}

static __always_inline void note_arrival(struct enrolled *me)
{
	struct pair *pair;

	learn_peer(me);
	pair = pair_of(me);
	if (pair)
		is_through(lane_to(pair, me->role));
}

/* `sk` was told that there is something to read: sock_def_readable(). Is it what the current
 * thread was putting into its bypass queue? */
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
