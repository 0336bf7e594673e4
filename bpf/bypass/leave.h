/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a socket leaves the sockmap, so that it costs what TCP costs.
 * Included by bypass/bypass.bpf.c, bypass/join.h.
 *
 * A socket may leave when nothing can be put into its bypass queue any more and nothing is
 * there: its lane is closed, no message is on its way, and the queue is empty. reconsider() looks
 * for that when TCP has measured a round trip of the socket (BPF_SOCK_OPS_RTT_CB), under its lock:
 * of the programs that run so, the kernel lets only sock_ops take a socket out.
 */
#ifndef SOCKPROXY_LEAVE_H
#define SOCKPROXY_LEAVE_H

#include "bypass/acceptor.h"
#include "bypass/blocking.h"
#include "bypass/events.h"
#include "bypass/maps.h"
#include "bypass/observe.h"
#include "bypass/pacing.h"
#include "bypass/pair.h"
#include "common/kernel_sockets.h"
#include "common/psock.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

static __always_inline void hear_no_round_trips(struct bpf_sock_ops *ops)
{
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_RTT_CB_FLAG);
}

/* Take the socket out of the sockmap, for good. */
static __always_inline void leave(struct bpf_sock_ops *ops, struct enrolled *me,
				  struct tcp_sock *tp, __u32 why)
{
	__u64 cookie = me->cookie;

	bpf_map_delete_elem(&sockets, &cookie);
	me->in_map = 0;
	if (me->plain == PLAIN_NOT || me->plain == PLAIN_PEER_UNSEEN)
		me->plain = why;
	if (me->plain != PLAIN_NOT) /* else its connection ends, which is told by itself */
		tell(me, tp, EVENT_LEFT);
	if (!is_pacing_open(me))
		hear_no_round_trips(ops);
}

/* A socket that was disconnected (AF_UNSPEC) connects or listens again. It has the same cookie, and
 * its bypass queue still holds what nobody read of the old connection: tcp_disconnect() empties
 * TCP's queue alone. Take it out of the sockmap, so that the queue goes with the psock. The socket
 * never gets another psock: see enter_map(). Returns its entry, blank, or NULL if it has none. */
static __always_inline struct enrolled *begin_anew(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct enrolled *me;
	__u32 enlisted;
	__u64 cookie;

	if (!sk)
		return NULL;
	me = bpf_sk_storage_get(&ends, sk, 0, 0);
	if (!me || !me->cookie)
		return me;
	cookie = me->cookie;
	if (me->in_map)
		bpf_map_delete_elem(&sockets, &cookie);
	enlisted = me->enlisted ? ENLISTED_BEFORE : ENLISTED_NEVER;
	__builtin_memset(me, 0, sizeof(*me));
	me->enlisted = enlisted;
	return me;
}

/* `me` leaves: take the other end out as well, if nothing was ever bypassed to it. It may be the
 * reader of a stream, which never sends, measures no round trip, and would never leave by itself.
 */
static __always_inline void take_along(struct pair *pair, struct enrolled *me)
{
	__u64 other = peer_in(pair, me->role);

	if (lane_from(pair, me->role)->taken)
		return;
	bpf_map_delete_elem(&sockets, &other);
	__sync_fetch_and_or(&pair->taken_out,
			    me->role == ROLE_OPENER ? ROLE_ACCEPTER : ROLE_OPENER);
}

/* Whether it is an accepted socket that stays plain because others at its port were in blocking
 * mode. */
static __always_inline int is_of_blocking_port(const struct enrolled *me)
{
	return me->plain == PLAIN_BLOCKS && me->role == ROLE_ACCEPTER;
}

/* Once its program has read something its own mode is known, which decides for those that are
 * accepted next. Returns whether it is. */
static __always_inline int look_at_accepted(struct enrolled *me, struct tcp_sock *tp)
{
	struct sock *sk = (struct sock *)tp;

	if (!file_of(sk) || tp->copied_seq == me->run_begin)
		return 0;
	me->traits |= trait_of_mode(sk);
	note_accepted(sk, me->traits & TRAIT_BLOCKS ? PLAIN_BLOCKS : PLAIN_NOT);
	return 1;
}

/* TCP has measured a round trip of a socket that is not in the sockmap. (Another bypass, on a
 * cgroup above, may want to hear of it though this one does not.) */
static __always_inline void reconsider_plain(struct bpf_sock_ops *ops, struct enrolled *me,
					     struct tcp_sock *tp, const struct knobs *now)
{
	observe_round(me, tp);
	if (!is_pacing_open(me) && !is_of_blocking_port(me))
		return;
	reconsider_pacing(ops, me, tp, now);
	if ((!is_of_blocking_port(me) || look_at_accepted(me, tp)) && !is_pacing_open(me) &&
	    !me->observed)
		hear_no_round_trips(ops);
}

/* TCP has measured a round trip of the socket: take it out if it has no more business there. */
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
	if (!me->in_map) {
		reconsider_plain(ops, me, tp, now);
		return;
	}
	learn_peer(me);
	reconsider_pacing(ops, me, tp, now);
	/* This was a round trip of data, so the accepter is established: it is not one of ours. */
	if (!me->pair) {
		leave(ops, me, tp, PLAIN_PEER_UNSEEN);
		return;
	}
	pair = pair_of(me);
	if (!pair)
		return;
	if (now->mode == MODE_OBSERVE)
		close_pair_of(me);
	in = lane_to(pair, me->role);
	if (!in->closed || !lane_from(pair, me->role)->closed)
		return;
	if (in->busy || !is_bypass_queue_empty(tp))
		return;
	take_back(in);
	if (now->mode == MODE_OBSERVE)
		leave(ops, me, tp, PLAIN_OBSERVED);
	else
		leave(ops, me, tp, pair->why);
	if (me->plain == PLAIN_STREAM)
		COUNT(plain.streams);
	take_along(pair, me);
}

#endif
