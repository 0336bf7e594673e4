/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The connection of an enrolled socket ends: nothing more is bypassed to it, its counters go into
 * the totals, and its pair is given back.
 * Included by bypass/bypass.bpf.c.
 */
#ifndef SOCKPROXY_PART_H
#define SOCKPROXY_PART_H

#include "bypass/maps.h"
#include "bypass/namespaces.h"
#include "bypass/pair.h"
#include "bypass/pairing.h"
#include "bypass/worth.h"
#include "common/ends.h"
#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static __always_inline void add_up(struct traffic *sum, const struct traffic *sent)
{
	__sync_fetch_and_add(&sum->bypassed_bytes, sent->bypassed_bytes);
	__sync_fetch_and_add(&sum->bypassed_messages, sent->bypassed_messages);
	__sync_fetch_and_add(&sum->passed_bytes, sent->passed_bytes);
	__sync_fetch_and_add(&sum->passed_messages, sent->passed_messages);
}

/* The other end's FIN or a RST has come, or the socket has closed. bpf_tcp_ingress() looks at
 * neither shutdown nor state, so close the lane to it here: nothing may be put behind the end, nor
 * into a connection that this socket has later. */
static __always_inline void hear_end(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct enrolled *me;
	struct pair *pair;

	switch (ops->args[1]) {
	case BPF_TCP_CLOSE_WAIT:
	case BPF_TCP_CLOSING:
	case BPF_TCP_TIME_WAIT:
	case BPF_TCP_CLOSE:
		break;
	default:
		return;
	}
	if (!sk)
		return;
	me = bpf_sk_storage_get(&ends, sk, 0, 0);
	pair = me ? find_pair(me->pair) : NULL;
	if (pair)
		__sync_lock_test_and_set(&lane_to(pair, me->role)->closed, 1);
	if (pair && ops->args[1] == BPF_TCP_CLOSE)
		close_pair(pair);
}

/* The socket has closed. What its program has not read yet stays in its queue, for as long as the
 * program holds it open. */
static __always_inline void part(struct bpf_sock_ops *ops)
{
	struct bypass_totals *sum = all_totals();
	struct bpf_sock *sk = ops->sk;
	struct enrolled *end;
	struct two_ends both;
	struct tcp_sock *tp;
	int of_program;

	if (!sum || !sk)
		return;
	end = bpf_sk_storage_get(&ends, sk, 0, 0);
	tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	if (!end || !tp)
		return;
	count_no_more(end);
	if (end->closed)
		return;
	end->closed = 1;
	__sync_fetch_and_add(&sum->closed, 1);
	add_up(&sum->sent, &end->sent);
	wait_no_longer(end);
	learn_peer(end);
	of_program = is_of_program(end->plain);
	if (end->enlisted == ENLISTED_NOW || end->plain == PLAIN_PEER_UNSEEN || of_program) {
		READ_ENDS(ops, &both);
		remember_service(&both, end->role, of_program, end->sent.bypassed_bytes > 0);
	}
	end->pair = 0;
	if (forget_peer(end->cookie))
		__sync_fetch_and_add(&sum->paired_bytes,
				     payload_sent(tp) + end->sent.bypassed_bytes);
}

#endif
