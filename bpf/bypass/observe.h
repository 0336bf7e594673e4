/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a bypass that only observes finds out: which services it would have something to gain for.
 * Included by bypass/join.h, bypass/leave.h, bypass/listing.h, bypass/part.h.
 *
 * That rests on how many requests a connection has and how large they and their answers are. Only
 * the accepter is looked at. When TCP has measured a round trip of what it sent, something else has
 * come since the last time, where it answers; where it streams, nothing has.
 */
#ifndef SOCKPROXY_OBSERVE_H
#define SOCKPROXY_OBSERVE_H

#include "bypass/maps.h"
#include "common/ends.h"
#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define FEW 4 /* answers, from which on a connection may gain what it costs to enter and leave */

/* A socket was established, and `me` tells why it stays plain, or that it is one of a pair. */
static __always_inline void begin_observing(struct enrolled *me, const struct tcp_sock *tp,
					    __u32 mode)
{
	if (mode != MODE_OBSERVE || me->role != ROLE_ACCEPTER)
		return;
	me->observed = 1;
	me->had_come = tp->rcv_nxt;
}

/* TCP has measured a round trip of the socket. */
static __always_inline void observe_round(struct enrolled *me, const struct tcp_sock *tp)
{
	if (!me->observed || tp->rcv_nxt == me->had_come)
		return;
	me->had_come = tp->rcv_nxt;
	me->rounds++;
}

/* enum gain of a connection that carried so many bytes, both ways. */
static __always_inline __u32 gain_of(const struct enrolled *me, __u64 bytes)
{
	struct knobs *now = current_knobs();

	if (!me->observed || !now)
		return GAIN_UNTOLD;
	if (me->plain != PLAIN_NOT)
		return GAIN_APART;
	if (bytes > (__u64)now->budget * (me->rounds ?: 1))
		return GAIN_STREAM;
	return me->rounds < FEW ? GAIN_BRIEF : GAIN_REQUESTS;
}

/* The record of what was found out of the service at the near end. */
static __always_inline struct observed *find_observed(const struct two_ends *both)
{
	struct observed none = {}, *found;
	struct place place = {};

	__builtin_memcpy(place.local, both->local, sizeof(place.local));
	place.local_port = both->local_port;
	found = bpf_map_lookup_elem(&observed, &place);
	if (found)
		return found;
	bpf_map_update_elem(&observed, &place, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&observed, &place);
}

/* The connection has ended. */
static __always_inline void observe_end(const struct enrolled *me, struct tcp_sock *tp,
					const struct two_ends *both)
{
	__u64 bytes = payload_sent(tp) + tp->bytes_received - has_had_fin((struct sock *)tp);
	struct observed *sum;

	if (!me->observed)
		return;
	sum = find_observed(both);
	if (!sum)
		return;
	switch (gain_of(me, bytes)) {
	case GAIN_BRIEF:
		__sync_fetch_and_add(&sum->brief, 1);
		break;
	case GAIN_STREAM:
		__sync_fetch_and_add(&sum->streams, 1);
		break;
	case GAIN_REQUESTS:
		__sync_fetch_and_add(&sum->requests, 1);
		break;
	default:
		__sync_fetch_and_add(&sum->apart, 1);
		return;
	}
	__sync_fetch_and_add(&sum->bytes, bytes);
	__sync_fetch_and_add(&sum->answers, me->rounds);
}

#endif
