/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: a socket of a bypass comes, and goes.
 */
#ifndef SOCKPROXY_ENLIST_H
#define SOCKPROXY_ENLIST_H

#include "acceptor.h"
#include "blocking.h"
#include "bypass_maps.h"
#include "ends.h"
#include "message.h"
#include "multipath.h"
#include "namespaces.h"
#include "pairing.h"
#include "policy.h"
#include "program.h"
#include "service.h"

#define E2BIG 7

/* Why it has to stay plain, whoever is at the other end. */
static __always_inline __u32 objection(struct bpf_sock_ops *ops, const struct two_ends *both,
				       struct tcp_sock *tp, __u32 role)
{
	struct sock *sk = (struct sock *)tp;
	unsigned long flags = sk->__sk_common.skc_flags;
	__u32 plain;

	if (is_multipath(ops))
		return PLAIN_MULTIPATH;
	if (is_denied(both))
		return PLAIN_POLICY;
	if (role == ROLE_OPENER && trait_of_mode(sk))
		return PLAIN_BLOCKS;
	if (role == ROLE_ACCEPTER && (plain = accepts_plain(sk)))
		return plain;
	/* Owners inside of the kernel take sk_user_data for themselves, some of them later. */
	if (sk->sk_user_data || tp->inet_conn.icsk_ulp_ops ||
	    BPF_CORE_READ_BITFIELD(sk, sk_kern_sock))
		return PLAIN_OWNED;
	if (flags >> bpf_core_enum_value(enum sock_flags, SOCK_ZEROCOPY) & 1)
		return PLAIN_ZEROCOPY;
	return PLAIN_NOT;
}

/* Once in the life of a socket. tcp_bpf_sendmsg_redir() may be about to put a message into it that
 * was charged for a connection which it has no more: without a psock there is nothing to put it
 * into, with a new one it would be read. */
static __always_inline __u32 enter_map(struct bpf_sock_ops *ops, struct enrolled *end)
{
	__u64 cookie = end->cookie;
	long failed;

	if (end->enlisted)
		return PLAIN_UNFIT;
	failed = bpf_sock_hash_update(ops, &sockets, &cookie, BPF_NOEXIST);
	if (failed)
		return failed == -E2BIG ? PLAIN_FULL : PLAIN_OWNED;
	end->in_map = 1;
	end->enlisted = ENLISTED_NOW;
	return PLAIN_NOT;
}

static __always_inline void come_as_opener(struct bpf_sock_ops *ops, struct enrolled *end,
					   const struct two_ends *both, struct sock *sk, __u32 mode)
{
	end->plain = mode == MODE_BYPASS ? enter_map(ops, end) : PLAIN_NOT;
	if (end->plain == PLAIN_NOT)
		end->plain = wait_for_accepter(end, both, sk);
}

static __always_inline void come_as_accepter(struct bpf_sock_ops *ops, struct enrolled *end,
					     const struct two_ends *both, struct sock *sk,
					     const struct knobs *now)
{
	__u32 opener_in_map = 0;
	struct pair *pair;

	end->plain = find_opener(end, both, sk, now->same_cgroup, &opener_in_map);
	if (end->plain != PLAIN_NOT || now->mode != MODE_BYPASS)
		return;
	end->plain = opener_in_map ? enter_map(ops, end) : PLAIN_OBSERVED;
	pair = find_pair(end->pair);
	if (end->plain != PLAIN_NOT && pair)
		close_pair(pair);
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
	case PLAIN_FULL:
		__sync_fetch_and_add(&sum->full, 1);
		break;
	case PLAIN_OWNED:
		__sync_fetch_and_add(&sum->owned, 1);
		break;
	case PLAIN_PROGRAM:
		__sync_fetch_and_add(&sum->programs, 1);
		break;
	case PLAIN_ZEROCOPY:
		__sync_fetch_and_add(&sum->zerocopy, 1);
		break;
	case PLAIN_UNPROVEN:
		__sync_fetch_and_add(&sum->unproven, 1);
		break;
	case PLAIN_BLOCKS:
		__sync_fetch_and_add(&sum->blocking, 1);
		break;
	}
}

/* Not even remembered, as that is what costs; an accepter asks the opener, who may try. */
static __always_inline int is_left_out(const struct two_ends *both, const struct handshake *numbers,
				       __u32 role, __u32 plain)
{
	if (is_worth_enrolling(both, role, plain))
		return 0;
	return role == ROLE_OPENER || !has_opener(numbers);
}

/* Why a connection of this program stays plain. One that was seen to set its sockets to blocking
 * mode once they are connected, as hiredis does, will do so again. */
static __noinline __u32 opens_plain(void)
{
	struct program_record *known;

	if (is_left_alone())
		return PLAIN_PROGRAM;
	known = recall_current();
	if (known && known->blocks & ROLE_OPENER && !are_blocking_admitted())
		return PLAIN_BLOCKS;
	return is_unproven(known ? known->proofs : 0, known && known->traits & TRAIT_ASKS)
		       ? PLAIN_UNPROVEN
		       : PLAIN_NOT;
}

/* connect(2), by the program that will have the connection; not the first, where one was refused.
 */
static __always_inline void note_opener(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct enrolled *end;
	__u32 plain;

	if (!sk)
		return;
	plain = opens_plain();
	end = bpf_sk_storage_get(&ends, sk, 0, plain ? BPF_SK_STORAGE_GET_F_CREATE : 0);
	if (end && !end->cookie)
		end->plain = plain;
}

/* Why an opener stays plain for what its program is, or does: as note_opener() found, or by the
 * mode of the socket. */
static __always_inline __u32 is_plain_opener(const struct enrolled *end, struct tcp_sock *tp)
{
	if (end && end->plain)
		return end->plain;
	return trait_of_mode((struct sock *)tp) ? PLAIN_BLOCKS : PLAIN_NOT;
}

/* Whether that is why a socket of this reason stays plain. */
static __always_inline int is_of_program(__u32 plain)
{
	return plain == PLAIN_PROGRAM || plain == PLAIN_BLOCKS || plain == PLAIN_UNPROVEN;
}

/* A connection was established. */
static __always_inline void meet(struct bpf_sock_ops *ops, __u32 role)
{
	struct bypass_totals *sum = all_totals();
	__u32 flags = BPF_SOCK_OPS_STATE_CB_FLAG;
	struct knobs *now = current_knobs();
	struct bpf_sock *sk = ops->sk;
	struct handshake numbers;
	struct enrolled *end;
	struct two_ends both;
	struct tcp_sock *tp;
	__u32 plain = PLAIN_NOT;

	if (!sum || !now || !sk || now->mode == MODE_DRAIN)
		return;
	tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	READ_ENDS(ops, &both);
	numbers.opener_seq = role == ROLE_OPENER ? ops->snd_nxt : ops->rcv_nxt;
	numbers.accepter_seq = role == ROLE_OPENER ? ops->rcv_nxt : ops->snd_nxt;
	if (role == ROLE_OPENER)
		plain = is_plain_opener(bpf_sk_storage_get(&ends, sk, 0, 0), tp);
	if (now->mode == MODE_BYPASS && is_left_out(&both, &numbers, role, plain)) {
		__sync_fetch_and_add(&sum->no_gain, 1);
		return;
	}
	end = bpf_sk_storage_get(&ends, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!end)
		return;
	end->since = bpf_ktime_get_ns();
	end->role = role;
	end->rules = now->version;
	end->numbers = numbers;
	end->run_begin = end->run_end = ops->rcv_nxt;
	/* Whoever lists it at this moment takes one with a cookie for whole. */
	__sync_lock_test_and_set(&end->cookie, bpf_get_socket_cookie(ops));
	if (end->plain != PLAIN_PROGRAM && end->plain != PLAIN_BLOCKS)
		end->plain = objection(ops, &both, tp, role) ?: end->plain;
	if (end->plain == PLAIN_NOT) {
		if (role == ROLE_OPENER)
			come_as_opener(ops, end, &both, (struct sock *)tp, now->mode);
		else
			come_as_accepter(ops, end, &both, (struct sock *)tp, now);
	}
	count(sum, end->plain);
	count_in_namespace(end, (struct sock *)tp);
	if (end->plain == PLAIN_BLOCKS)
		end->traits |= trait_of_mode((struct sock *)tp); /* as the opener's is known */
	if (end->in_map || (end->plain == PLAIN_BLOCKS && role == ROLE_ACCEPTER))
		flags |= BPF_SOCK_OPS_RTT_CB_FLAG;
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | flags);
}

static __always_inline void wait_no_longer(const struct enrolled *end)
{
	struct handshake numbers = end->numbers;
	struct opener *me = bpf_map_lookup_elem(&openers, &numbers);

	if (me && me->cookie == end->cookie)
		bpf_map_delete_elem(&openers, &numbers);
}

static __always_inline void add_up(struct bypass_totals *sum, const struct enrolled *end)
{
	__sync_fetch_and_add(&sum->bypassed_bytes, end->bypassed_bytes);
	__sync_fetch_and_add(&sum->bypassed_messages, end->bypassed_messages);
	__sync_fetch_and_add(&sum->passed_bytes, end->passed_bytes);
	__sync_fetch_and_add(&sum->passed_messages, end->passed_messages);
}

/* The end has come of what it reads: bpf_tcp_ingress(), which looks at neither shutdown nor state,
 * is to put nothing behind it, nor into a connection that this socket has later. */
static __always_inline void hear_end(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct enrolled *me;
	struct pair *pair;

	switch (ops->args[1]) {
	case BPF_TCP_CLOSE_WAIT:
	case BPF_TCP_CLOSING:
	case BPF_TCP_TIME_WAIT:
	case BPF_TCP_CLOSE:
		break;
	default:
		return;
	}
	if (!sk)
		return;
	me = bpf_sk_storage_get(&ends, sk, 0, 0);
	pair = me ? find_pair(me->pair) : NULL;
	if (pair)
		__sync_lock_test_and_set(&lane_to(pair, me->role)->closed, 1);
	if (pair && ops->args[1] == BPF_TCP_CLOSE)
		close_pair(pair);
}

/* It has closed. What it has not read yet stays in its queue, for as long as it is open. */
static __always_inline void part(struct bpf_sock_ops *ops)
{
	struct bypass_totals *sum = all_totals();
	struct bpf_sock *sk = ops->sk;
	struct enrolled *end;
	struct two_ends both;
	struct tcp_sock *tp;
	int of_program;

	if (!sum || !sk)
		return;
	end = bpf_sk_storage_get(&ends, sk, 0, 0);
	tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	if (!end || !tp)
		return;
	count_no_more(end);
	if (end->closed)
		return;
	end->closed = 1;
	__sync_fetch_and_add(&sum->closed, 1);
	add_up(sum, end);
	wait_no_longer(end);
	learn_peer(end);
	of_program = is_of_program(end->plain);
	if (end->enlisted == ENLISTED_NOW || end->plain == PLAIN_PEER_UNSEEN || of_program) {
		READ_ENDS(ops, &both);
		remember_service(&both, end->role, of_program, end->bypassed_bytes > 0);
	}
	end->pair = 0;
	if (forget_peer(end->cookie))
		__sync_fetch_and_add(&sum->paired_bytes, payload_sent(tp) + end->bypassed_bytes);
}

#endif
