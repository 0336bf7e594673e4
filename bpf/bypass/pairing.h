/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which two sockets are the ends of one connection.
 * Included by bypass/join.h, bypass/middle.h, bypass/pacing.h, bypass/part.h.
 *
 * When a connection is established both ends know where each begins to count its
 * bytes. The end that opened is established first and leaves its numbers; the end
 * that accepts looks for them. Addresses may be translated on the way and namespaces
 * may lie in between: numbers are never changed.
 *
 * Numbers alone could be forged: a remote host that opens a connection to us, and
 * accepts one of ours, can give both the same. So the accepter must also see the
 * opener's own address, from which no other host gets an answer. Where sources are
 * translated too, the connection stays plain.
 */
#ifndef SOCKPROXY_PAIRING_H
#define SOCKPROXY_PAIRING_H

#include "bypass/maps.h"
#include "bypass/pair.h"
#include "common/ends.h"
#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* The numbers of a connection that was just established, as its end of this role has them. */
static __always_inline struct handshake read_handshake(struct bpf_sock_ops *ops, __u32 role)
{
	struct handshake numbers = {
		.opener_seq = role == ROLE_OPENER ? ops->snd_nxt : ops->rcv_nxt,
		.accepter_seq = role == ROLE_OPENER ? ops->rcv_nxt : ops->snd_nxt,
	};

	return numbers;
}

/* What the accepter finds of its opener; kind and cgroup are left to the caller. */
static __always_inline void describe_opener(struct opener *me, const struct enrolled *end,
					    const struct two_ends *ends)
{
	me->cookie = end->cookie;
	__builtin_memcpy(me->address, ends->local, sizeof(me->address));
	me->port = ends->local_port;
}

/* Whether the accepter of these ends sees this opener's own address. */
static __always_inline int is_address_of(const struct opener *other, const struct two_ends *ends)
{
	return other->port == ends->remote_port && other->address[0] == ends->remote[0] &&
	       other->address[1] == ends->remote[1] && other->address[2] == ends->remote[2] &&
	       other->address[3] == ends->remote[3];
}

/* The opener leaves its numbers for the accepter to find. Returns why it is plain until then. */
static __always_inline __u32 wait_for_accepter(const struct enrolled *end,
					       const struct two_ends *ends, struct sock *sk)
{
	struct handshake numbers = end->numbers;
	struct opener me, *other;

	describe_opener(&me, end, ends);
	me.kind = end->middle ? OPENER_MIDDLE : end->in_map ? OPENER_IN_MAP : OPENER_PLAIN;
	me.cgroup = cgroup_of(sk);
	if (!bpf_map_update_elem(&openers, &numbers, &me, BPF_NOEXIST))
		return PLAIN_PEER_UNSEEN;
	other = bpf_map_lookup_elem(&openers, &numbers);
	if (other)
		other->cookie = 0;
	return PLAIN_AMBIGUOUS;
}

/* The opener's connection ends before an accepter has found its numbers. */
static __always_inline void wait_no_longer(const struct enrolled *end)
{
	struct handshake numbers = end->numbers;
	struct opener *me = bpf_map_lookup_elem(&openers, &numbers);

	if (me && me->cookie == end->cookie)
		bpf_map_delete_elem(&openers, &numbers);
}

/* Make the accepter `end` and its opener known to each other. The opener may close at the same
 * time: part() removes its numbers first and looks at `peers` then, so that either this sees the
 * numbers gone, or part() sees the peer. Returns why the accepter stays plain, or PLAIN_NOT. */
static __always_inline __u32 introduce(struct enrolled *end, __u64 opener, __u32 kind)
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
	pair->middle =
		(kind == OPENER_MIDDLE ? ROLE_OPENER : 0) | (end->middle ? ROLE_ACCEPTER : 0);
	if (bpf_map_update_elem(&peers, &cookie, &mine, BPF_NOEXIST)) {
		give_pair_back(pair, mine.pair);
		return PLAIN_FULL;
	}
	if (bpf_map_update_elem(&peers, &opener, &its, BPF_NOEXIST)) {
		forget_peer(cookie);
		leave_pair(mine.pair);
		return PLAIN_FULL;
	}
	/* The delete fails where the opener, or an accepter with the same numbers, was first. */
	if (bpf_map_delete_elem(&openers, &numbers)) {
		forget_peer(opener);
		forget_peer(cookie);
		return PLAIN_PEER_UNSEEN;
	}
	end->pair = mine.pair;
	return PLAIN_NOT;
}

/* Cookie of the socket at the other end if that is a proxy's, else 0. */
static __always_inline __u64 middle_of(const struct enrolled *end)
{
	struct pair *pair = find_pair(end->pair);
	int mine = end->role == ROLE_ACCEPTER;

	if (!pair || pair->cookie[mine] != end->cookie ||
	    !(pair->middle & (mine ? ROLE_OPENER : ROLE_ACCEPTER)))
		return 0;
	return pair->cookie[!mine];
}

/*
 * Whether the FIN or a RST of the other end has come before this socket closes. If that is a
 * proxy's it is forgotten as well: it may have been killed, and with it the program that would have
 * heard of its sockets' ends. A proxy that lives has read what went past it before it sends either.
 * (tcp_disconnect() sets sk_err behind its change to CLOSE, tcp_reset() before it.)
 */
static __always_inline int is_ended_by_other(struct tcp_sock *tp)
{
	struct sock *sk = (struct sock *)tp;

	return sk->sk_err || has_had_fin(sk);
}

/* Whether an opener waits with these numbers. */
static __always_inline int has_opener(const struct handshake *numbers)
{
	struct handshake key = *numbers;

	return bpf_map_lookup_elem(&openers, &key) != NULL;
}

/* The accepter looks for its opener, and sets of which kind that is (enum opener_kind). Returns why
 * the accepter stays plain, or PLAIN_NOT. */
static __always_inline __u32 find_opener(struct enrolled *end, const struct two_ends *ends,
					 struct sock *sk, __u32 same_cgroup, __u32 *kind)
{
	struct handshake numbers = end->numbers;
	struct opener *other;

	other = bpf_map_lookup_elem(&openers, &numbers);
	if (!other)
		return PLAIN_PEER_UNSEEN;
	if (!other->cookie)
		return PLAIN_AMBIGUOUS;
	if (!is_address_of(other, ends))
		return PLAIN_PEER_UNSEEN;
	if (same_cgroup && other->cgroup != cgroup_of(sk))
		return PLAIN_POLICY;
	*kind = other->kind;
	return introduce(end, other->cookie, other->kind);
}

#endif
