/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: which two sockets are the ends of one connection.
 *
 * When a connection is established both ends know where each begins to count its
 * bytes. The end that opened is established first and leaves its numbers; the end
 * that accepts looks for them. Addresses may be translated on the way and namespaces
 * lie in between, numbers are never changed.
 *
 * Numbers alone could be forged: a remote host that opens a connection to us, and
 * accepts one of ours, can give both the same. So the accepter must also see the
 * opener's own address, from which no other host gets an answer. Where sources are
 * translated too, the connection stays plain.
 */
#ifndef SOCKPROXY_PAIRING_H
#define SOCKPROXY_PAIRING_H

#include "bypass_maps.h"
#include "ends.h"
#include "multipath.h"
#include "policy.h"

/* The opener leaves its numbers. */
static __always_inline __u32 wait_for_accepter(const struct enrolled *end,
					       const struct two_ends *ends, struct sock *sk)
{
	struct opener me = {.cookie = end->cookie, .port = ends->local_port}, *other;
	struct handshake numbers = end->numbers;

	__builtin_memcpy(me.address, ends->local, sizeof(me.address));
	me.in_map = end->in_map;
	me.cgroup = cgroup_of(sk);
	if (!bpf_map_update_elem(&openers, &numbers, &me, BPF_NOEXIST))
		return PLAIN_PEER_UNSEEN;
	other = bpf_map_lookup_elem(&openers, &numbers);
	if (other)
		other->cookie = 0;
	return PLAIN_AMBIGUOUS;
}

/* The number of a pair that is not in use, or 0. */
static __always_inline __u32 take_pair(void)
{
	__u32 zero = 0, number, *begun;

	if (!bpf_map_pop_elem(&free_pairs, &number))
		return number;
	begun = bpf_map_lookup_elem(&pairs_begun, &zero);
	if (!begun || !find_pair(*begun + 1)) /* so that the count stays where the pairs end */
		return 0;
	return __sync_fetch_and_add(begun, 1) + 1;
}

/* An end of the pair has gone; the pair goes with the second. */
static __always_inline void leave_pair(__u32 number)
{
	struct pair *pair = find_pair(number);

	if (!pair || !__sync_fetch_and_add(&pair->parted, 1))
		return;
	take_back(&pair->lane[0]);
	take_back(&pair->lane[1]);
	__builtin_memset(pair, 0, sizeof(*pair)); /* no blank one on the stack, which is full */
	bpf_map_push_elem(&free_pairs, &number, 0);
}

/* Take leave of the other end, unless this was done already. */
static __always_inline int forget_peer(__u64 cookie)
{
	struct peer *peer = bpf_map_lookup_elem(&peers, &cookie);
	__u32 number;

	if (!peer)
		return 0;
	number = peer->pair;
	if (bpf_map_delete_elem(&peers, &cookie))
		return 0;
	leave_pair(number);
	return 1;
}

/* Make the two known to each other. The opener may close at the same time: it removes its
 * numbers first and looks at `peers` then, so that one of us sees the other. */
static __always_inline __u32 join(struct enrolled *end, __u64 opener)
{
	struct peer mine = {.cookie = opener};
	struct peer its = {.cookie = end->cookie};
	struct handshake numbers = end->numbers;
	__u64 cookie = end->cookie;
	struct pair *pair;

	mine.pair = its.pair = take_pair();
	pair = find_pair(mine.pair);
	if (!pair)
		return PLAIN_FULL;
	pair->cookie[0] = opener;
	pair->cookie[1] = cookie;
	if (bpf_map_update_elem(&peers, &cookie, &mine, BPF_NOEXIST)) {
		bpf_map_push_elem(&free_pairs, &mine.pair, 0);
		return PLAIN_FULL;
	}
	if (bpf_map_update_elem(&peers, &opener, &its, BPF_NOEXIST)) {
		forget_peer(cookie);
		leave_pair(mine.pair);
		return PLAIN_FULL;
	}
	/* Of two that find it, one takes it. */
	if (bpf_map_delete_elem(&openers, &numbers)) {
		forget_peer(opener);
		forget_peer(cookie);
		return PLAIN_PEER_UNSEEN;
	}
	end->peer = opener;
	end->pair = mine.pair;
	return PLAIN_NOT;
}

static __always_inline int has_opener(const struct handshake *numbers)
{
	struct handshake key = *numbers;

	return bpf_map_lookup_elem(&openers, &key) != NULL;
}

/* The accepter looks for its opener. */
static __always_inline __u32 find_opener(struct enrolled *end, const struct two_ends *ends,
					 struct sock *sk, __u32 same_cgroup, __u32 *in_map)
{
	struct handshake numbers = end->numbers;
	struct opener *other;

	other = bpf_map_lookup_elem(&openers, &numbers);
	if (!other)
		return PLAIN_PEER_UNSEEN;
	if (!other->cookie)
		return PLAIN_AMBIGUOUS;
	if (other->port != ends->remote_port || other->address[0] != ends->remote[0] ||
	    other->address[1] != ends->remote[1] || other->address[2] != ends->remote[2] ||
	    other->address[3] != ends->remote[3])
		return PLAIN_PEER_UNSEEN;
	if (same_cgroup && other->cgroup != cgroup_of(sk))
		return PLAIN_POLICY;
	*in_map = other->in_map;
	return join(end, other->cookie);
}

#endif
