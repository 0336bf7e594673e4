/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Short-circuit: a message goes past the proxies that lie between its sender and its reader.
 * Included by bypass/bypass.bpf.c.
 *
 *   client C ──pair── P1 proxy P2 ──pair── server S        each pair a connection, by handshake
 *          └───────────── joint ─────────────┘             a pair of C and S, with lanes of its own
 *
 * A proxy forwards byte for byte, so that what C sent and what S has read can be compared by their
 * counts: C may put a message into S's queue when S has read as many bytes by TCP as C ever sent by
 * TCP (lane.h), for then nothing lies in between, whatever the proxy does. Only C can change the
 * first count, so the test cannot go stale. All else is as between any two ends.
 *
 * Which bytes may go past it the proxy decides: it makes the joint when what it carries is a
 * conversation, and ends it before it throws bytes away. A proxy that adds bytes, or takes some
 * out, must not make one.
 *
 * Why nothing overtakes anything, at each change:
 * - The joint is made: its lanes are blank, and the reader has to grant before a message enters.
 *   Grants of before belong to other lanes.
 * - What does not fit goes by TCP, and voids the grant (pass()). The next one names a higher count.
 * - A FIN counts in copied_seq. Nothing is granted with RCV_SHUTDOWN, and nothing enters a lane
 *   behind a FIN: not behind C's own, by charge(); nor the proxy's, as its change to FIN_WAIT1 or
 *   LAST_ACK closes the lane to whom it is sent (tcp_close_state() comes before tcp_send_fin()).
 * - A RST, or the death of the proxy: tcp_done() and tcp_disconnect() change to CLOSE first, which
 *   closes both lanes.
 * - The joint is ended: the lanes are closed, and who has ended it waits until none is busy.
 * - An end closes with bytes unread: a FIN by TCP, which the proxy passes on as a RST (part.h).
 *
 * Races with ends that close: a joint is written into the pairs of its chain, and then looked at:
 * if an end has left `peers`, or a lane of a pair is closed, it is closed too. Who leaves, or
 * closes a lane, does that first and looks for a joint then. So one of the two sees the other.
 */
#ifndef SOCKPROXY_JOINT_H
#define SOCKPROXY_JOINT_H

#include "bypass/chain.h"
#include "bypass/lane.h"
#include "bypass/maps.h"
#include "bypass/pair.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Both ends of the pair are there, and nothing has closed its lanes. */
static __always_inline int still_stands(struct pair *pair, __u32 number)
{
	return pair_by(pair->cookie[0]) == number && pair_by(pair->cookie[1]) == number &&
	       is_open(pair);
}

/* Make the pair a part of the joint, if it is still what it was. */
static __always_inline int take_part(__u32 number, __u64 before, __u32 joint)
{
	struct pair *pair = find_pair(number);

	if (!pair || (__u32)before)
		return 0;
	return __sync_val_compare_and_swap(&pair->joint, before, before | joint) == before;
}

/* Join the ends of the chain: enum join_refusal. Two proxies of one chain may do so at once; the
 * first pair decides, and the other one finds the joint when it looks. */
__attribute__((noinline)) __u32 join_chain(const struct chain *chain)
{
	__u32 number, hop, last = chain ? chain->pairs - 1 : MOST_PAIRS, parts = 0;
	struct pair *part, *joint;
	int stands = 1;

	if (!chain || last >= MOST_PAIRS)
		return REFUSAL_WAITS;
	number = take_pair();
	joint = find_pair(number);
	if (!joint)
		return REFUSAL_FULL;
	joint->cookie[0] = chain->ends[0];
	joint->cookie[1] = chain->ends[1];
	joint->holders = chain->pairs + 1; /* and this program */
	for (hop = 0; hop < MOST_PAIRS && hop <= last; hop++) {
		if (!take_part(chain->pair[hop], chain->before[hop], number))
			break;
		parts++;
	}
	for (hop = 0; hop < MOST_PAIRS && hop <= last; hop++) {
		part = find_pair(chain->pair[hop]);
		if (hop >= parts)
			leave_joint(number);
		else if (!part || !still_stands(part, chain->pair[hop]))
			stands = 0;
	}
	stands = stands && parts == chain->pairs;
	if (!stands)
		close_pair(joint);
	leave_joint(number);
	if (stands)
		return REFUSAL_NONE;
	return parts ? REFUSAL_CLOSED : REFUSAL_WAITS;
}

/* The pair of either of the proxy's sockets: one that was reset has none any more. */
static __always_inline struct pair *either_pair(const struct join *ask)
{
	struct pair *pair = find_pair(pair_by(ask->client));

	if (pair && pair->cookie[1] == ask->client)
		return pair;
	pair = find_pair(pair_by(ask->upstream));
	return pair && pair->cookie[0] == ask->upstream ? pair : NULL;
}

/* JOIN_MAKE. */
static __always_inline __u32 make_joint(const struct join *ask)
{
	__u32 above = pair_by(ask->client), below = pair_by(ask->upstream), why;
	struct pair *client = find_pair(above), *upstream = find_pair(below), *joint;
	struct knobs *now = current_knobs();
	struct chain chain = {};
	__u64 barrier = 0;

	if (!now || now->mode != MODE_BYPASS)
		return REFUSAL_DRAINS;
	if (!client)
		return REFUSAL_NO_CLIENT;
	if (!upstream)
		return REFUSAL_NO_UPSTREAM;
	if (client->cookie[1] != ask->client || upstream->cookie[0] != ask->upstream ||
	    !(client->middle & ROLE_ACCEPTER) || !(upstream->middle & ROLE_OPENER))
		return REFUSAL_MISFIT;
	client->across[1] = ask->upstream;
	upstream->across[0] = ask->client;
	__sync_fetch_and_add(&barrier, 1); /* who joins at this moment sees ours, or we its */
	joint = joint_of(client);
	if (joint)
		return is_open(joint) ? REFUSAL_NONE : REFUSAL_CLOSED;
	if ((__u32)client->joint == NEVER || (__u32)upstream->joint == NEVER)
		return REFUSAL_CLOSED;
	why = walk_chain(&chain, find_first(above), above, below);
	if (why)
		return why;
	/* They are still what they were, and so are the others, to which they have led. */
	if (pair_by(ask->client) != above || pair_by(ask->upstream) != below)
		return REFUSAL_CLOSED;
	return join_chain(&chain);
}

/* A pair of the proxy's socket `own` and a far end of this role is to be a part of no joint. If it
 * is of none now, nothing was ever put into the queue of the far end, nor will be: take that out of
 * the sockmap, as sock_ops does only when it sends. */
static __always_inline void take_out(struct pair *pair, __u32 role, __u64 own)
{
	__u32 mine = role == ROLE_OPENER ? ROLE_ACCEPTER : ROLE_OPENER;
	__u64 before = *(volatile __u64 *)&pair->joint;
	__u64 cookie = pair->cookie[role == ROLE_ACCEPTER];

	if (pair->cookie[role != ROLE_ACCEPTER] != own || !(pair->middle & mine))
		return;
	if ((__u32)before ||
	    __sync_val_compare_and_swap(&pair->joint, before, before | NEVER) != before)
		return;
	pair->why = pair->why ?: PLAIN_PROXY;
	close_pair(pair);
	bpf_map_delete_elem(&sockets, &cookie);
	__sync_fetch_and_or(&pair->taken_out, role);
}

/* JOIN_END. Ends that wait for a joint wait no longer. */
static __always_inline void end_joint(const struct join *ask)
{
	struct pair *client = find_pair(pair_by(ask->client)), *either, *joint;
	struct pair *upstream = find_pair(pair_by(ask->upstream));

	if (client)
		take_out(client, ROLE_OPENER, ask->client);
	if (upstream)
		take_out(upstream, ROLE_ACCEPTER, ask->upstream);
	/* After that: another proxy of the chain may have made it meanwhile. */
	either = either_pair(ask);
	joint = either ? joint_of(either) : NULL;
	if (joint) {
		joint->why = PLAIN_PROXY;
		close_pair(joint);
	}
}

/* How many messages were charged to the lane, of so many bytes. */
static __always_inline __u64 messages_in(const struct lane *lane, __u64 bytes)
{
	__u64 taken = *(volatile __u64 *)&lane->taken;

	return taken > bytes ? (taken - bytes) / MESSAGE_OVERHEAD : 0;
}

/* What has gone past the proxy, and whether something is about to. */
static __always_inline void read_joint(struct join *ask)
{
	struct pair *pair = either_pair(ask), *joint = pair ? joint_of(pair) : NULL;
	struct knobs *now = current_knobs();
	struct lane *there, *back;
	int never;

	if (!joint) {
		never = !pair || (__u32)pair->joint == NEVER;
		ask->why = ask->why ?: never ? REFUSAL_CLOSED : REFUSAL_WAITS;
		return;
	}
	there = &joint->lane[0];
	back = &joint->lane[1];
	if (there->closed && back->closed)
		ask->why = REFUSAL_CLOSED;
	else if (!now || now->mode != MODE_BYPASS)
		ask->why = REFUSAL_DRAINS;
	ask->busy = __sync_fetch_and_add(&there->busy, 0) || __sync_fetch_and_add(&back->busy, 0);
	ask->unread = joint->unread;
	ask->forward_bytes = *(volatile __u64 *)&there->bytes;
	ask->forward_messages = messages_in(there, ask->forward_bytes);
	ask->backward_bytes = *(volatile __u64 *)&back->bytes;
	ask->backward_messages = messages_in(back, ask->backward_bytes);
	if (either_pair(ask) == pair && joint_of(pair) == joint)
		return;
	/* They have gone meanwhile, and the joint may be others'. */
	ask->why = REFUSAL_CLOSED;
	ask->unread = 0;
	ask->forward_bytes = ask->forward_messages = 0;
	ask->backward_bytes = ask->backward_messages = 0;
}

/* Do what the packet asks, and write the answer into it. Returns 1, or 0 for a packet of another
 * kind. */
static __always_inline int join_past(struct __sk_buff *packet)
{
	struct join ask;

	if (bpf_skb_load_bytes(packet, LOOKED_UP_AT, &ask, sizeof(ask)))
		return 0;
	ask.why = REFUSAL_NONE;
	ask.busy = ask.unread = 0;
	ask.forward_bytes = ask.forward_messages = 0;
	ask.backward_bytes = ask.backward_messages = 0;
	if (ask.action == JOIN_MAKE)
		ask.why = make_joint(&ask);
	else if (ask.action == JOIN_END)
		end_joint(&ask);
	read_joint(&ask);
	return !bpf_skb_store_bytes(packet, LOOKED_UP_AT, &ask, sizeof(ask), 0);
}

#endif
