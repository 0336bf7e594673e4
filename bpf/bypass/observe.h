/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a bypass that only observes finds out: which services it would have something to gain for.
 * Included by bypass/join.h, bypass/leave.h, bypass/part.h.
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

/* Its connection has ended. */
static __always_inline void observe_end(const struct enrolled *me, struct tcp_sock *tp,
					const struct two_ends *both)
{
	struct observed none = {}, *sum;
	struct place place = {};

	if (!me->observed)
		return;
	__builtin_memcpy(place.local, both->local, sizeof(place.local));
	place.local_port = both->local_port;
	sum = bpf_map_lookup_elem(&observed, &place);
	if (!sum) {
		bpf_map_update_elem(&observed, &place, &none, BPF_NOEXIST);
		sum = bpf_map_lookup_elem(&observed, &place);
		if (!sum)
			return;
	}
	__sync_fetch_and_add(&sum->connections, 1);
	if (me->plain != PLAIN_NOT)
		return;
	__sync_fetch_and_add(&sum->paired, 1);
	__sync_fetch_and_add(&sum->bytes, payload_sent(tp) + tp->bytes_received -
						  has_had_fin((struct sock *)tp));
	__sync_fetch_and_add(&sum->rounds, me->rounds);
}

#endif
