/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Streams within this host are not paced.
 * Included by bypass/join.h, bypass/leave.h, bypass/listing.h, bypass/part.h.
 *
 * Where the host's default is BBR, a socket sends by a timer, at the rate that it has measured of
 * the path. Between two ends of one host there is none to speak of, and that costs a stream half of
 * its speed. Such ends get Reno instead, which every kernel has and which grows until the reader's
 * window holds it, as nothing is lost.
 *
 * That both are here is proven as for a pair (pairing.h), by the numbers of the handshake and the
 * opener's own address; but also of ends that have no pair, as they stay plain for how their
 * programs read. The accepter knows it when it is established. The opener knows it at the first
 * round trip of data: by then its accepter has found it, or is none of ours.
 *
 * An end changes once it has sent STREAM_BEGUN by TCP. By then its program has set what it sets,
 * and has shown how it writes: small writes that are sent at once (TCP_NODELAY) are three times as
 * fast where a timer holds them back and puts them together, so that ends with that stay, but for
 * those whose writes were seen to be large.
 *
 * Only where segments are large, as on loopback. sk_pacing_status stays as BBR has set it, so that
 * a sender of small ones is held by the timer, never by its window, which then does not grow
 * (tcp_is_cwnd_limited()): through a veth with 1448 bytes Reno had 0.7 of what BBR has.
 *
 * Never changed is what the program has chosen for its socket, or what a route locks; nor where
 * the handshake took LONG_WAY, as by way of a qdisc that acts like a network.
 */
#ifndef SOCKPROXY_PACING_H
#define SOCKPROXY_PACING_H

#include "bypass/maps.h"
#include "bypass/pairing.h"
#include "bypass/policy.h"
#include "common/ends.h"
#include "common/kernel_sockets.h"
#include "common/multipath.h"

#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define TCP_CONGESTION 13
#define CONTROL_NAME 16 /* bytes: TCP_CA_NAME_MAX */
#define LONG_WAY 1000	/* us */
#define LARGE_SEGMENT (16 * 1024)
#define STREAM_BEGUN (256 * 1024)
#define LARGE_WRITE (24 * 1024)

static __always_inline int is_bbr(const char *name) /* of any version */
{
	return name[0] == 'b' && name[1] == 'b' && name[2] == 'r';
}

static __always_inline int is_reno(const char *name)
{
	return name[0] == 'r' && name[1] == 'e' && name[2] == 'n' && name[3] == 'o' && !name[4];
}

/* Whether the socket has BBR by default. Notes the name. */
static __always_inline int is_paced(struct bpf_sock_ops *ops, struct enrolled *end,
				    struct tcp_sock *tp)
{
	char *name = end->paced_by;

	return !BPF_CORE_READ_BITFIELD(tp, inet_conn.icsk_ca_setsockopt) &&
	       !BPF_CORE_READ_BITFIELD(tp, inet_conn.icsk_ca_dst_locked) &&
	       !bpf_getsockopt(ops, IPPROTO_TCP, TCP_CONGESTION, name, CONTROL_NAME) &&
	       is_bbr(name);
}

/* Whether a new connection may be changed, as far as this end can tell: whatever it is plain for
 * but a wish of the user's, or the owner of its socket. */
static __always_inline int may_be_spared(struct bpf_sock_ops *ops, const struct enrolled *end)
{
	switch (end->plain) {
	case PLAIN_NOT:
	case PLAIN_PEER_UNSEEN:
	case PLAIN_FULL:
	case PLAIN_ZEROCOPY:
	case PLAIN_BLOCKS:
	case PLAIN_UNPROVEN:
		break;
	default:
		return 0;
	}
	return ops->mss_cache >= LARGE_SEGMENT && ops->srtt_us >> 3 < LONG_WAY;
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
static __always_inline void find_paced_opener(struct bpf_sock_ops *ops, struct enrolled *end,
					      const struct two_ends *ends, struct tcp_sock *tp)
{
	struct handshake numbers = end->numbers;
	struct paced_opener *other = bpf_map_lookup_elem(&paced, &numbers);
	__u64 cookie = other ? other->opener.cookie : 0; /* first: the entry may become another's */
	int is_local = end->pair > 0;

	if ((!other && !is_local) || !may_be_spared(ops, end))
		return;
	if (other && is_address_of(&other->opener, ends)) {
		other->met = cookie;
		is_local = 1;
	}
	if (is_local && is_paced(ops, end, tp))
		end->pacing = PACING_LOCAL;
}

/* The opener leaves its numbers for the accepter to find. One that is plain for its program was
 * never judged by objection(), as an accepter always is. */
static __always_inline void await_accepter(struct bpf_sock_ops *ops, struct enrolled *end,
					   const struct two_ends *ends, struct tcp_sock *tp)
{
	struct handshake numbers = end->numbers;
	struct paced_opener me = {};

	if (!is_paced(ops, end, tp) || !may_be_spared(ops, end) || is_multipath(ops) ||
	    is_denied(ends))
		return;
	describe_opener(&me.opener, end, ends);
	if (!bpf_map_update_elem(&paced, &numbers, &me, BPF_NOEXIST))
		end->pacing = PACING_ASKS;
}

/* A connection was established, and its end is enrolled or plain. */
static __always_inline void begin_pacing(struct bpf_sock_ops *ops, struct enrolled *end,
					 const struct two_ends *ends, struct tcp_sock *tp)
{
	if (end->role == ROLE_ACCEPTER)
		find_paced_opener(ops, end, ends, tp);
	else
		await_accepter(ops, end, ends, tp);
}

/* Whether this end has yet to hear of round trips. */
static __always_inline int is_pacing_open(const struct enrolled *me)
{
	return me->pacing == PACING_ASKS || me->pacing == PACING_LOCAL;
}

/* The opener asks no longer. Returns whether its accepter has found it. */
static __always_inline int stop_asking(struct enrolled *me)
{
	struct handshake numbers = me->numbers;
	struct paced_opener *mine = bpf_map_lookup_elem(&paced, &numbers);
	int met;

	if (!mine || mine->opener.cookie != me->cookie)
		return 0;
	met = mine->met == me->cookie;
	bpf_map_delete_elem(&paced, &numbers);
	return met;
}

/* Whether it would be slower if nothing held its messages back. */
static __always_inline int gains_by_pacing(const struct enrolled *me, struct tcp_sock *tp)
{
	const struct traffic *sent = &me->sent;

	return BPF_CORE_READ_BITFIELD(tp, nonagle) & TCP_NAGLE_OFF &&
	       sent->passed_bytes <= sent->passed_messages * LARGE_WRITE;
}

/* TCP has measured a round trip of data. */
static __always_inline void reconsider_pacing(struct bpf_sock_ops *ops, struct enrolled *me,
					      struct tcp_sock *tp, const struct knobs *now)
{
	if (me->pacing == PACING_ASKS)
		me->pacing = stop_asking(me) || me->pair ? PACING_LOCAL : PACING_AS_IS;
	if (me->pacing != PACING_LOCAL || payload_sent(tp) < STREAM_BEGUN)
		return;
	me->pacing = PACING_AS_IS;
	if (now->spare_pacing && now->mode == MODE_BYPASS && !gains_by_pacing(me, tp) &&
	    is_paced(ops, me, tp))
		spare(ops, me);
}

/* The connection has ended. The next of this socket may be to another host: it begins as this one
 * did, unless the program has chosen. tcp_disconnect() blanks what Reno had noted. */
static __always_inline void pace_again(struct bpf_sock_ops *ops, struct enrolled *me)
{
	char name[CONTROL_NAME] = {};

	if (me->pacing == PACING_ASKS)
		stop_asking(me);
	if (me->pacing != PACING_SPARED)
		return;
	me->pacing = PACING_AS_IS;
	if (!bpf_getsockopt(ops, IPPROTO_TCP, TCP_CONGESTION, name, sizeof(name)) && is_reno(name))
		bpf_setsockopt(ops, IPPROTO_TCP, TCP_CONGESTION, me->paced_by, CONTROL_NAME);
}

#endif
