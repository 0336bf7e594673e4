/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which programs read without asking FIONREAD how much there is: for kernels that answer it wrongly
 * for whatever is in a sockmap (tcp_bpf_ioctl()).
 * Included by bypass/bypass.bpf.c.
 *
 * A program that asks would wait for ever, so it must be known before its sockets are enrolled. To
 * find out, its first sockets stay plain and are watched. Two things are proofs that it does not:
 *
 * - It read until EAGAIN (sock_recv_length): one that asks first is told 0, and does not read.
 * - It read less than it had room for, while all that wait at the socket are level-triggered. That
 *   alone proves nothing of a program that asks whether there is anything, nor of nginx, which asks
 *   when its buffer is full. So it counts only where asking is seen (tcp_ioctl()), and never for
 *   nginx, which waits by edges.
 */
#ifndef SOCKPROXY_PROOF_H
#define SOCKPROXY_PROOF_H

#include "bypass/acceptor.h"
#include "bypass/maps.h"
#include "bypass/pair.h"
#include "bypass/program.h"
#include "bypass/syscall.h"
#include "bypass/waiters.h"
#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define EAGAIN 11
#define SIOCINQ 0x541B /* which is FIONREAD */

/* The entry of a socket that stays plain until its program has shown that it does without FIONREAD;
 * NULL for any other. */
static __always_inline struct enrolled *watched(struct sock *sk)
{
	struct enrolled *me;

	/* The tracepoint runs for all sockets: most have no entry, or are in the sockmap. */
	if (!sk->sk_bpf_storage || sk->sk_user_data)
		return NULL;
	me = bpf_sk_storage_get(&ends, sk, 0, 0);
	return me && me->plain == PLAIN_UNPROVEN && me->turns < PROOFS ? me : NULL;
}

/* The current program has read without asking: count a proof for it, and for the port that it
 * accepts at. Not if it is remembered to have asked. */
static __always_inline void note_proof(const struct enrolled *me, struct sock *sk)
{
	struct program_record seen = {.proofs = 1}, *known;
	struct acceptor *entry;
	struct runner name = {};
	struct local_port port;

	name_runner(&name);
	known = recall(&name);
	if (known && known->traits & TRAIT_ASKS)
		return;
	remember(&name, known, &seen);
	if (me->role != ROLE_ACCEPTER)
		return;
	name_port(&port, sk);
	entry = bpf_map_lookup_elem(&acceptors, &port);
	if (entry && !entry->asks)
		__sync_fetch_and_add(&entry->proofs, 1);
}

/* recvmsg has returned `result`, bytes or an error: is it a proof? */
static __always_inline void see_result(struct sock *sk, int result, int flags)
{
	struct enrolled *me = watched(sk);
	struct knobs *now = current_knobs();
	struct waiters waiters;

	if (!me || !now || flags & MSG_PEEK)
		return;
	if (result > 0) {
		me->heard = 1;
		if (now->proof != PROOF_SHORT || result >= room_of_call())
			return;
		read_waiters(&waiters, sk);
		if (waiters.kind != WAITING_LEVEL)
			return;
	} else if (result != -EAGAIN || !me->heard) {
		return;
	}
	me->heard = 0;
	me->turns++;
	note_proof(me, sk);
}

/* ioctl(2) of a TCP socket. If it asks FIONREAD, sockets of this program are not to be enrolled. */
static __always_inline void see_asking(struct sock *sk, int command)
{
	struct program_record seen = {.traits = TRAIT_ASKS, .last = bpf_ktime_get_ns()}, *known;
	struct enrolled *me;
	struct acceptor *entry;
	struct runner name = {};
	struct local_port port;

	if (command != SIOCINQ)
		return;
	/* An entry without a cookie counts too: of an opener that is not established yet. */
	me = bpf_sk_storage_get(&ends, sk, 0, 0);
	if (!me || me->middle)
		return;
	name_runner(&name);
	known = recall(&name);
	remember(&name, known, &seen);
	if (known)
		known->proofs = 0;
	if (me->role == ROLE_ACCEPTER) {
		name_port(&port, sk);
		entry = bpf_map_lookup_elem(&acceptors, &port);
		if (entry) {
			entry->asks = 1;
			entry->proofs = 0;
		}
	}
	is_unfit(me, TRAIT_ASKS);
}

#endif
