/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What two ends of this host send to each other by TCP is not paced.
 * Included by bypass/join.h, bypass/leave.h.
 *
 * Where the host's default is BBR, a socket sends by a timer, at the rate that it has measured of
 * the path. Between two ends of one host there is no path, and the timer costs a stream half of its
 * speed. Such ends get Reno instead, which every kernel has and which grows until the reader's
 * window holds it, as nothing is lost. None is changed that the program has chosen for its socket,
 * or that a route locks; nor where the other end may be on another host.
 *
 * That both are here is proven as for a pair (pairing.h), by the numbers of the handshake and the
 * opener's own address; but also of ends that have no pair, as they stay plain for how their
 * programs read. The accepter knows it when it is established, before tcp_init_transfer() begins
 * with BBR. The opener knows it at the first round trip of data: by then its accepter has found it,
 * or is none of ours. Its sk_pacing_status stays as BBR has set it; but the rate that
 * tcp_update_pacing_rate() sets for Reno is more than a window in each round trip.
 */
#ifndef SOCKPROXY_PACING_H
#define SOCKPROXY_PACING_H

#include "bypass/maps.h"
#include "bypass/pairing.h"
#include "common/ends.h"
#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define TCP_CONGESTION 13

/* Whether a socket that is plain for this reason may be changed all the same. */
static __always_inline int is_pacing_ours(__u32 plain)
{
	return plain == PLAIN_NOT || plain == PLAIN_PEER_UNSEEN || plain == PLAIN_FULL ||
	       plain == PLAIN_ZEROCOPY || plain == PLAIN_BLOCKS || plain == PLAIN_UNPROVEN;
}

/* Whether the socket has BBR, of any version, by default. Notes the name. */
static __always_inline int is_paced(struct bpf_sock_ops *ops, struct enrolled *end,
				    struct tcp_sock *tp)
{
	char *name = end->paced_by;

	return !BPF_CORE_READ_BITFIELD(tp, inet_conn.icsk_ca_setsockopt) &&
	       !BPF_CORE_READ_BITFIELD(tp, inet_conn.icsk_ca_dst_locked) &&
	       !bpf_getsockopt(ops, IPPROTO_TCP, TCP_CONGESTION, name, sizeof(end->paced_by)) &&
	       name[0] == 'b' && name[1] == 'b' && name[2] == 'r';
}

static __always_inline void spare(struct bpf_sock_ops *ops, struct enrolled *end)
{
	char reno[] = "reno";

	if (bpf_setsockopt(ops, IPPROTO_TCP, TCP_CONGESTION, reno, sizeof(reno)))
		return;
	end->pacing = PACING_SPARED;
	COUNT(spared_pacing);
}

/* The accepter looks for its opener, and lets it know. */
static __always_inline void spare_accepter(struct bpf_sock_ops *ops, struct enrolled *end,
					   const struct two_ends *ends, struct tcp_sock *tp)
{
	struct handshake numbers = end->numbers;
	struct opener *other = bpf_map_lookup_elem(&paced, &numbers);
	int is_here = end->pair > 0;

	if (other && is_address_of(other, ends)) {
		other->kind = OPENER_MET;
		is_here = 1;
	}
	if (is_here && is_paced(ops, end, tp))
		spare(ops, end);
}

/* The opener leaves its numbers, and waits for the first round trip of data. */
static __always_inline void await_round_trip(struct bpf_sock_ops *ops, struct enrolled *end,
					     const struct two_ends *ends, struct tcp_sock *tp)
{
	struct handshake numbers = end->numbers;
	struct opener me = {};

	if (!is_paced(ops, end, tp))
		return;
	describe_opener(&me, end, ends);
	if (!bpf_map_update_elem(&paced, &numbers, &me, BPF_NOEXIST))
		end->pacing = PACING_WAITS;
}

/* A connection was established, whose end is plain for what `plain` says. */
static __always_inline void consider_pacing(struct bpf_sock_ops *ops, struct enrolled *end,
					    const struct two_ends *ends, struct tcp_sock *tp)
{
	if (!is_pacing_ours(end->plain))
		return;
	if (end->role == ROLE_ACCEPTER)
		spare_accepter(ops, end, ends, tp);
	else
		await_round_trip(ops, end, ends, tp);
}

/* The first round trip of data: an opener that waited for it knows who has accepted. */
static __always_inline void end_pacing(struct bpf_sock_ops *ops, struct enrolled *me)
{
	struct handshake numbers = me->numbers;
	struct opener *mine = bpf_map_lookup_elem(&paced, &numbers);
	int is_here = me->pair > 0;

	me->pacing = PACING_AS_IS;
	if (mine && mine->cookie == me->cookie) {
		is_here |= mine->kind == OPENER_MET;
		bpf_map_delete_elem(&paced, &numbers);
	}
	if (is_here)
		spare(ops, me);
}

/* The socket is about to have another connection, whose other end may be anywhere. */
static __always_inline void pace_again(struct bpf_sock_ops *ops, struct enrolled *me)
{
	if (me->pacing == PACING_SPARED)
		bpf_setsockopt(ops, IPPROTO_TCP, TCP_CONGESTION, me->paced_by,
			       sizeof(me->paced_by));
}

#endif
