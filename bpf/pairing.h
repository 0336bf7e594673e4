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
					       const struct two_ends *ends)
{
	struct opener me = {.cookie = end->cookie, .port = ends->local_port}, *other;
	struct handshake numbers = end->numbers;

	__builtin_memcpy(me.address, ends->local, sizeof(me.address));
	if (!bpf_map_update_elem(&openers, &numbers, &me, BPF_NOEXIST))
		return PLAIN_PEER_UNSEEN;
	other = bpf_map_lookup_elem(&openers, &numbers);
	if (other)
		other->cookie = 0;
	return PLAIN_AMBIGUOUS;
}

/* The accepter looks for its opener. */
static __always_inline __u32 find_opener(const struct enrolled *end, const struct two_ends *ends)
{
	struct handshake numbers = end->numbers;
	__u64 cookie = end->cookie, peer;
	struct opener *other;

	other = bpf_map_lookup_elem(&openers, &numbers);
	if (!other)
		return PLAIN_PEER_UNSEEN;
	peer = other->cookie;
	if (!peer)
		return PLAIN_AMBIGUOUS;
	if (other->port != ends->remote_port || other->address[0] != ends->remote[0] ||
	    other->address[1] != ends->remote[1] || other->address[2] != ends->remote[2] ||
	    other->address[3] != ends->remote[3])
		return PLAIN_PEER_UNSEEN;
	/* Of two that find it, one takes it. */
	if (bpf_map_delete_elem(&openers, &numbers))
		return PLAIN_AMBIGUOUS;
	if (bpf_map_update_elem(&peers, &cookie, &peer, BPF_ANY))
		return PLAIN_PEER_UNSEEN;
	if (bpf_map_update_elem(&peers, &peer, &cookie, BPF_ANY)) {
		bpf_map_delete_elem(&peers, &cookie);
		return PLAIN_PEER_UNSEEN;
	}
	return PLAIN_NOT;
}

static __always_inline void count(struct bypass_totals *sum, __u32 plain)
{
	__sync_fetch_and_add(&sum->enrolled, 1);
	switch (plain) {
	case PLAIN_NOT:
		__sync_fetch_and_add(&sum->paired, 1);
		break;
	case PLAIN_POLICY:
		__sync_fetch_and_add(&sum->policy, 1);
		break;
	case PLAIN_MULTIPATH:
		__sync_fetch_and_add(&sum->multipath, 1);
		break;
	case PLAIN_AMBIGUOUS:
		__sync_fetch_and_add(&sum->ambiguous, 1);
		break;
	}
}

/* A connection was established. */
static __always_inline void meet(struct bpf_sock_ops *ops, __u32 role)
{
	struct bpf_sock *sk = ops->sk;
	struct bypass_totals *sum;
	struct enrolled *end;
	struct two_ends both;
	__u32 zero = 0;

	sum = bpf_map_lookup_elem(&totals, &zero);
	if (!sum || !sk)
		return;
	end = bpf_sk_storage_get(&ends, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!end)
		return;
	end->cookie = bpf_get_socket_cookie(ops);
	end->since = bpf_ktime_get_ns();
	end->role = role;
	end->numbers.opener_seq = role == ROLE_OPENER ? ops->snd_nxt : ops->rcv_nxt;
	end->numbers.accepter_seq = role == ROLE_OPENER ? ops->rcv_nxt : ops->snd_nxt;
	read_ends(ops, &both);
	if (is_multipath(ops))
		end->plain = PLAIN_MULTIPATH;
	else if (is_denied(&both))
		end->plain = PLAIN_POLICY;
	else if (role == ROLE_OPENER)
		end->plain = wait_for_accepter(end, &both);
	else
		end->plain = find_opener(end, &both);
	count(sum, end->plain);
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

static __always_inline void wait_no_longer(const struct enrolled *end)
{
	struct handshake numbers = end->numbers;
	struct opener *me = bpf_map_lookup_elem(&openers, &numbers);

	if (me && me->cookie == end->cookie)
		bpf_map_delete_elem(&openers, &numbers);
}

/* It has closed. */
static __always_inline void part(struct bpf_sock_ops *ops)
{
	__u64 cookie = bpf_get_socket_cookie(ops);
	struct bpf_sock *sk = ops->sk;
	struct bypass_totals *sum;
	struct enrolled *end;
	struct tcp_sock *tp;
	__u32 zero = 0;

	sum = bpf_map_lookup_elem(&totals, &zero);
	if (!sum || !sk)
		return;
	end = bpf_sk_storage_get(&ends, sk, 0, 0);
	if (!end)
		return;
	__sync_fetch_and_add(&sum->closed, 1);
	if (bpf_map_delete_elem(&peers, &cookie)) {
		wait_no_longer(end);
		return;
	}
	tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	if (tp)
		__sync_fetch_and_add(&sum->paired_bytes, payload_sent(tp));
}

#endif
