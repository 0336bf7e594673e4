/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The connection of an enrolled socket ends: nothing more is bypassed to it, its counters go into
 * the totals, and its pair is given back.
 * Included by bypass/bypass.bpf.c.
 */
#ifndef SOCKPROXY_PART_H
#define SOCKPROXY_PART_H

#include "bypass/events.h"
#include "bypass/maps.h"
#include "bypass/namespaces.h"
#include "bypass/observe.h"
#include "bypass/pacing.h"
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

/* The socket sends its FIN. If that is because it is closed, and something is in its bypass queue,
 * __tcp_close() would have sent a RST had TCP brought that: a proxy in between can.
 * sock_map_close() has taken the psock away by then, but what it held is freed later, and counts in
 * sk_rmem_alloc since Linux 6.13 (bpf_tcp_ingress()); TCP's own queue is empty. Neither is so where
 * shutdown() sends the FIN of a socket that was taken out of the sockmap, and has yet to read. */
static __always_inline void note_unread(const struct enrolled *me, struct tcp_sock *tp)
{
	struct sock *sk = (struct sock *)tp;
	struct pair *pair = pair_of(me);

	if (pair && me->in_map && !sk->sk_user_data &&
	    sk->sk_shutdown == (RCV_SHUTDOWN | SEND_SHUTDOWN) && !sk->sk_receive_queue.qlen &&
	    !sk->sk_error_queue.qlen && !tp->out_of_order_queue.rb_node &&
	    BPF_CORE_READ(sk, sk_backlog.rmem_alloc.counter) > 0)
		__sync_fetch_and_or(&pair->unread, me->role);
}

/* The other end's FIN or a RST has come, or the socket has closed. bpf_tcp_ingress() looks at
 * neither shutdown nor state, so close the lane to it here: nothing may be put behind the end, nor
 * into a connection that this socket has later. */
static __always_inline void hear_end(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct enrolled *me;
	struct tcp_sock *tp;

	switch (ops->args[1]) {
	case BPF_TCP_FIN_WAIT1:
	case BPF_TCP_LAST_ACK:
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
	if (!me || me->middle)
		return;
	if (ops->args[1] == BPF_TCP_FIN_WAIT1 || ops->args[1] == BPF_TCP_LAST_ACK) {
		tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
		if (tp)
			note_unread(me, tp);
		return;
	}
	close_lane_of(me, 1);
	if (ops->args[1] == BPF_TCP_CLOSE)
		close_pair_of(me);
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
	__u64 middle;

	if (!sum || !sk)
		return;
	end = bpf_sk_storage_get(&ends, sk, 0, 0);
	tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	if (!end || end->middle || !tp)
		return;
	count_no_more(end);
	/* Without a cookie it was never established: a socket that had a connection before, whose
	 * flags of then it keeps, was refused. */
	if (!end->cookie || end->closed)
		return;
	end->closed = 1;
	__sync_fetch_and_add(&sum->closed, 1);
	add_up(&sum->sent, &end->sent);
	pace_again(ops, end);
	wait_no_longer(end);
	learn_peer(end);
	of_program = is_of_program(end->plain);
	if (end->observed) {
		READ_ENDS(ops, &both);
		observe_end(end, tp, &both);
	}
	if (end->enlisted == ENLISTED_NOW || end->plain == PLAIN_PEER_UNSEEN || of_program) {
		READ_ENDS(ops, &both);
		remember_service(&both, end->role, of_program, end->sent.bypassed_bytes > 0);
	}
	tell(end, tp, EVENT_CLOSED);
	middle = middle_of(end);
	end->pair = 0;
	if (forget_peer(end->cookie))
		__sync_fetch_and_add(&sum->paired_bytes,
				     payload_sent(tp) + end->sent.bypassed_bytes);
	if (middle && is_ended_by_other(tp))
		forget_peer(middle);
}

#endif
