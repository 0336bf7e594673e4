/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The connections that proxies make of one client and one server, each a pair.
 * Included by bypass/joint.h.
 *
 * A proxy leaves in each of its two pairs the cookie of its socket in the other (`across`). A
 * cookie leads to a pair for as long as its socket is connected, and is never given out again.
 */
#ifndef SOCKPROXY_CHAIN_H
#define SOCKPROXY_CHAIN_H

#include "bypass/maps.h"
#include "bypass/pair.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MOST_PAIRS 8	  /* of a chain */
#define NEVER 0xffffffffU /* in place of a joint's number: there will be none */

/* The number of the pair that a socket is an end of, by its cookie; 0: none. */
static __always_inline __u32 pair_by(__u64 cookie)
{
	struct peer *peer = bpf_map_lookup_elem(&peers, &cookie);

	return peer ? peer->pair : 0;
}

/*
 * The pairs from a client to a server.
 *
 * before: what `joint` was in each. Read before anything else of the pair, so that a pair which has
 * been given back since, and perhaps to others, is not joined: take_part() finds another value
 * then.
 */
struct chain {
	__u32 pairs;
	__u32 pair[MOST_PAIRS];
	__u64 before[MOST_PAIRS];
	__u64 ends[2]; /* cookies of the client and of the server */
};

/* The pair at the client's end of the chain that this pair is in the midst of; 0 when a proxy
 * before it has not joined. Not inlined and global, like walk_chain(), so that the verifier looks
 * at each loop once. */
__attribute__((noinline)) __u32 find_first(__u32 number)
{
	struct pair *pair;
	int hop;

	for (hop = 0; hop < MOST_PAIRS; hop++) {
		pair = find_pair(number);
		if (!pair)
			return 0;
		if (!(pair->middle & ROLE_OPENER))
			return number;
		number = pair->across[0] ? pair_by(pair->across[0]) : 0;
	}
	return 0;
}

static __always_inline int is_open(const struct pair *pair)
{
	return !pair->lane[0].closed && !pair->lane[1].closed;
}

/* The whole chain from the pair `number` on, which must hold these two: enum join_refusal. Each
 * pair but the first must be the one that the pair before it leads to. */
__attribute__((noinline)) __u32 walk_chain(struct chain *chain, __u32 number, __u32 above,
					   __u32 below)
{
	__u64 came = 0, left = 0;
	struct pair *pair;
	int hop, held = 0;

	if (!chain)
		return REFUSAL_WAITS;
	for (hop = 0; hop < MOST_PAIRS; hop++) {
		pair = find_pair(number);
		if (!pair)
			return REFUSAL_WAITS;
		chain->before[hop] = *(volatile __u64 *)&pair->joint;
		if (hop && (pair->cookie[0] != came || pair->across[0] != left))
			return REFUSAL_WAITS;
		if (!is_open(pair))
			return REFUSAL_CLOSED;
		held += (number == above) + (number == below);
		chain->pair[hop] = number;
		chain->pairs = hop + 1;
		if (!hop)
			chain->ends[0] = pair->cookie[0];
		chain->ends[1] = left = pair->cookie[1];
		came = pair->across[1];
		if (!(pair->middle & ROLE_ACCEPTER))
			return held == 2 ? REFUSAL_NONE : REFUSAL_WAITS;
		number = came ? pair_by(came) : 0;
	}
	return REFUSAL_WAITS;
}

#endif
