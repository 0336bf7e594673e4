/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: how a socket leaves the sockmap, so that it costs what TCP costs.
 *
 * A socket may leave when nothing can be put into its bypass queue any more and nothing is
 * there: its lane is closed, no message is on its way, and the queue is empty.
 * It runs when TCP has measured a round trip of the socket (BPF_SOCK_OPS_RTT_CB),
 * under its lock: of programs that see it so, only sock_ops may take it out.
 */
#ifndef SOCKPROXY_LEAVE_H
#define SOCKPROXY_LEAVE_H

#include "abi/bypass.h"
#include "bypass/acceptor.h"
#include "bypass/blocking.h"
#include "bypass/maps.h"
#include "bypass/pair.h"
#include "bypass/state.h"
#include "common/kernel_sockets.h"
#include "common/psock.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

static __always_inline void leave(struct bpf_sock_ops *ops, struct enrolled *me, __u32 why)
{
	__u64 cookie = me->cookie;

	bpf_map_delete_elem(&sockets, &cookie);
	me->in_map = 0;
	if (me->plain == PLAIN_NOT || me->plain == PLAIN_PEER_UNSEEN)
		me->plain = why;
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_RTT_CB_FLAG);
}

/* A socket that was disconnected (AF_UNSPEC), and connects or listens again: it has the same
 * cookie, and what nobody read of the old connection is in its bypass queue still. tcp_disconnect()
 * empties TCP's queue alone. With its psock that goes; it never gets another: see enter_map(). */
static __always_inline void begin_anew(struct bpf_sock_ops *ops)
{
	struct enrolled *me, blank = {};
	struct bpf_sock *sk = ops->sk;
	__u64 cookie;

	if (!sk)
		return;
	me = bpf_sk_storage_get(&ends, sk, 0, 0);
	if (!me || !me->cookie)
		return;
	cookie = me->cookie;
	if (me->in_map)
		bpf_map_delete_elem(&sockets, &cookie);
	blank.enlisted = me->enlisted ? ENLISTED_BEFORE : ENLISTED_NEVER;
	*me = blank;
}

/* The other end of a stream may never send, so never get here. */
static __always_inline void take_along(struct pair *pair, struct enrolled *me)
{
	__u64 other = me->peer;

	if (lane_from(pair, me->role)->taken)
		return;
	bpf_map_delete_elem(&sockets, &other);
	__sync_fetch_and_or(&pair->taken_out,
			    me->role == ROLE_OPENER ? ROLE_ACCEPTER : ROLE_OPENER);
}

/* It stays plain because of what it may do, as others at its port. When it has answered it is known
 * whether it waits in reads, and so whether those that come next have to stay plain. */
static __always_inline void look_at_accepted(struct bpf_sock_ops *ops, struct enrolled *me,
					     struct tcp_sock *tp)
{
	struct sock *sk = (struct sock *)tp;

	if (!BPF_CORE_READ(sk, sk_socket, file) || tp->copied_seq == me->run_begin)
		return;
	me->traits |= trait_of_mode(sk);
	note_accepted(sk, me->traits & TRAIT_BLOCKS ? PLAIN_BLOCKS : PLAIN_NOT);
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_RTT_CB_FLAG);
}

static __always_inline void reconsider(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct enrolled *me;
	struct knobs *now;
	struct tcp_sock *tp;
	struct pair *pair;
	struct lane *in;

	if (!sk)
		return;
	me = bpf_sk_storage_get(&ends, sk, 0, 0);
	tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	now = current_knobs();
	if (!me || !tp || !now)
		return;
	if (me->plain == PLAIN_BLOCKS)
		look_at_accepted(ops, me, tp);
	if (!me->in_map)
		return;
	learn_peer(me);
	/* A round trip of data: whoever accepted has been established before. */
	if (!me->pair) {
		leave(ops, me, PLAIN_PEER_UNSEEN);
		return;
	}
	pair = find_pair(me->pair);
	if (!pair)
		return;
	if (now->mode == MODE_OBSERVE)
		close_pair(pair);
	in = lane_to(pair, me->role);
	if (!in->closed || !lane_from(pair, me->role)->closed)
		return;
	if (in->busy || !is_bypass_queue_empty(tp))
		return;
	take_back(in);
	if (now->mode == MODE_OBSERVE)
		leave(ops, me, PLAIN_OBSERVED);
	else
		leave(ops, me, pair->unfit ? PLAIN_UNFIT : PLAIN_STREAM);
	if (me->plain == PLAIN_STREAM)
		COUNT(plain.streams);
	take_along(pair, me);
}

#endif
