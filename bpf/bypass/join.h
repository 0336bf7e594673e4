/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A connection was established, or is about to be: whether its socket enters the sockmap, and who
 * is at the other end. What ends it is in part.h.
 * Included by bypass/bypass.bpf.c.
 */
#ifndef SOCKPROXY_ENLIST_H
#define SOCKPROXY_ENLIST_H

#include "bypass/acceptor.h"
#include "bypass/blocking.h"
#include "bypass/events.h"
#include "bypass/leave.h"
#include "bypass/maps.h"
#include "bypass/namespaces.h"
#include "bypass/observe.h"
#include "bypass/pacing.h"
#include "bypass/pair.h"
#include "bypass/pairing.h"
#include "bypass/policy.h"
#include "bypass/program.h"
#include "bypass/worth.h"
#include "common/ends.h"
#include "common/kernel_sockets.h"
#include "common/multipath.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define E2BIG 7

/* Why the socket has to stay plain, whoever is at the other end; PLAIN_NOT if nothing speaks
 * against it. */
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
	/* Owners inside the kernel use sk_user_data themselves, some of them only later. */
	if (sk->sk_user_data || tp->inet_conn.icsk_ulp_ops ||
	    BPF_CORE_READ_BITFIELD(sk, sk_kern_sock))
		return PLAIN_OWNED;
	if (flags >> bpf_core_enum_value(enum sock_flags, SOCK_ZEROCOPY) & 1)
		return PLAIN_ZEROCOPY;
	return PLAIN_NOT;
}

/* Put the socket into the sockmap; once in its life. A socket may connect again after
 * connect(AF_UNSPEC), while tcp_bpf_sendmsg_redir() is about to put a message into it that was
 * charged for the connection before. Without a psock that message has no place to go; with a new
 * psock the new connection would read it. */
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

/* Sets why the opener is plain until its accepter is there, or for good. */
static __always_inline void come_as_opener(struct bpf_sock_ops *ops, struct enrolled *end,
					   const struct two_ends *both, struct sock *sk, __u32 mode)
{
	end->plain = mode == MODE_BYPASS ? enter_map(ops, end) : PLAIN_NOT;
	if (end->plain == PLAIN_NOT)
		end->plain = wait_for_accepter(end, both, sk);
}

/* Sets why the accepter is plain for good, or PLAIN_NOT: the pair is complete. */
static __always_inline void come_as_accepter(struct bpf_sock_ops *ops, struct enrolled *end,
					     const struct two_ends *both, struct sock *sk,
					     const struct knobs *now)
{
	__u32 opener = OPENER_PLAIN;
	struct pair *pair;

	end->plain = find_opener(end, both, sk, now->same_cgroup, &opener);
	if (end->plain != PLAIN_NOT || now->mode != MODE_BYPASS)
		return;
	end->plain = opener != OPENER_PLAIN ? enter_map(ops, end) : PLAIN_OBSERVED;
	pair = find_pair(end->pair);
	if (end->plain != PLAIN_NOT && pair)
		close_pair(pair);
}

/* Count a new socket, by why it stays plain. PLAIN_NOT is an accepter that completes a pair. */
static __always_inline void count(struct bypass_totals *sum, __u32 plain)
{
	__sync_fetch_and_add(&sum->enrolled, 1);
	switch (plain) {
	case PLAIN_NOT:
		__sync_fetch_and_add(&sum->paired, 1);
		break;
	case PLAIN_POLICY:
		__sync_fetch_and_add(&sum->plain.policy, 1);
		break;
	case PLAIN_MULTIPATH:
		__sync_fetch_and_add(&sum->plain.multipath, 1);
		break;
	case PLAIN_AMBIGUOUS:
		__sync_fetch_and_add(&sum->plain.ambiguous, 1);
		break;
	case PLAIN_FULL:
		__sync_fetch_and_add(&sum->plain.full, 1);
		break;
	case PLAIN_OWNED:
		__sync_fetch_and_add(&sum->plain.owned, 1);
		break;
	case PLAIN_PROGRAM:
		__sync_fetch_and_add(&sum->plain.programs, 1);
		break;
	case PLAIN_ZEROCOPY:
		__sync_fetch_and_add(&sum->plain.zerocopy, 1);
		break;
	case PLAIN_UNPROVEN:
		__sync_fetch_and_add(&sum->plain.unproven, 1);
		break;
	case PLAIN_BLOCKS:
		__sync_fetch_and_add(&sum->plain.blocking, 1);
		break;
	}
}

/* Why a connection that the current program opens stays plain. A program that was seen to set its
 * sockets to blocking mode once they are connected, as hiredis does, will do so again. */
static __noinline __u32 opens_plain(void)
{
	struct program_record *known = recall_current();

	if (is_left_alone(known))
		return PLAIN_PROGRAM;
	if (known && known->blocks & ROLE_OPENER && !are_blocking_admitted())
		return PLAIN_BLOCKS;
	return is_unproven(known ? known->proofs : 0, known && known->traits & TRAIT_ASKS)
		       ? PLAIN_UNPROVEN
		       : PLAIN_NOT;
}

/* The connection is left out, as those before it gained nothing. */
static __always_inline void leave_out(struct bpf_sock *sk, __u32 role)
{
	struct tcp_sock *tp;

	COUNT(plain.no_gain);
	if (!is_heard())
		return;
	tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	if (tp)
		tell_left_out(address_of(tp), role);
}

/* connect(2), in the program that will have the connection: note why it stays plain. Each call
 * notes anew, since a socket may connect again after it was refused. A connection to a service
 * without gain (worth.h) is left out: it gets no entry, which is what costs. */
static __always_inline void note_opener(struct bpf_sock_ops *ops)
{
	struct enrolled *end = begin_anew(ops);
	struct knobs *now = current_knobs();
	struct bpf_sock *sk = ops->sk;
	struct two_ends both;
	struct tcp_sock *tp;
	int may_leave_out;
	__u32 plain;

	if (!sk || !now || now->mode == MODE_DRAIN)
		return;
	READ_ENDS(ops, &both);
	may_leave_out = !end && now->mode == MODE_BYPASS;
	if (may_leave_out && is_opener_left_out(&both)) {
		leave_out(sk, ROLE_OPENER);
		return;
	}
	tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	plain = opens_plain();
	if (may_leave_out && !is_worth_opening(&both, plain, trait_of_mode((struct sock *)tp))) {
		leave_out(sk, ROLE_OPENER);
		return;
	}
	if (!end)
		end = bpf_sk_storage_get(&ends, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (end)
		end->plain = plain;
}

/* Whether an accepter leaves its connection out. It first looks whether its opener takes part,
 * which may be trying the service again. */
static __always_inline int leaves_out(const struct two_ends *both, const struct handshake *numbers)
{
	return !is_worth_accepting(both) && !has_opener(numbers);
}

/* A connection was established: enrol its socket. */
static __always_inline void meet(struct bpf_sock_ops *ops, __u32 role)
{
	struct bypass_totals *sum = all_totals();
	__u32 flags = BPF_SOCK_OPS_STATE_CB_FLAG;
	struct knobs *now = current_knobs();
	struct bpf_sock *sk = ops->sk;
	struct handshake numbers;
	struct enrolled *end = NULL;
	struct two_ends both;
	struct tcp_sock *tp;

	if (!sum || !now || !sk || now->mode == MODE_DRAIN)
		return;
	tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	end = bpf_sk_storage_get(&ends, sk, 0, 0);
	if (end && end->middle)
		return; /* bypass_middle() has seen it before, on the cgroup of its proxy */
	/* Left out by note_opener(), which may also not have seen it: nothing is known of its
	 * program. */
	if (now->mode == MODE_BYPASS && role == ROLE_OPENER && !end)
		return;
	READ_ENDS(ops, &both);
	numbers = read_handshake(ops, role);
	if (now->mode == MODE_BYPASS && role == ROLE_ACCEPTER && leaves_out(&both, &numbers)) {
		leave_out(sk, role);
		return;
	}
	if (!end)
		end = bpf_sk_storage_get(&ends, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!end)
		return;
	end->since = bpf_ktime_get_ns();
	end->role = role;
	end->rules = now->version;
	end->numbers = numbers;
	end->run_begin = end->run_end = ops->rcv_nxt;
	/* Last: who lists sockets takes an entry with a cookie for complete. */
	__sync_lock_test_and_set(&end->cookie, bpf_get_socket_cookie(ops));
	if (end->plain != PLAIN_PROGRAM && end->plain != PLAIN_BLOCKS)
		end->plain = objection(ops, &both, tp, role) ?: end->plain;
	if (end->plain == PLAIN_NOT) {
		if (role == ROLE_OPENER)
			come_as_opener(ops, end, &both, (struct sock *)tp, now->mode);
		else
			come_as_accepter(ops, end, &both, (struct sock *)tp, now);
	}
	begin_observing(end, tp, now->mode);
	count(sum, end->plain);
	tell(end, tp,
	     role == ROLE_ACCEPTER && end->plain == PLAIN_NOT ? EVENT_PAIRED : EVENT_ENROLLED);
	count_in_namespace(end, (struct sock *)tp);
	if (end->plain == PLAIN_BLOCKS)
		end->traits |=
			trait_of_mode((struct sock *)tp); /* of an opener it is known already */
	if (now->spare_pacing)
		begin_pacing(ops, end, &both, tp);
	if (end->in_map || end->observed || is_pacing_open(end) || is_of_blocking_port(end))
		flags |= BPF_SOCK_OPS_RTT_CB_FLAG;
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | flags);
}

#endif
