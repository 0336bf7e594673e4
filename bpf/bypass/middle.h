/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sockets of a proxy, whose own cgroup bypass_middle() is attached to: they never enter the
 * sockmap of the bypass, nor its counters, but it is noted who is at their other ends. joint.h lets
 * messages go past them.
 * Included by bypass/bypass.bpf.c.
 *
 * The programs on the cgroup of a socket run before those on the cgroups above, so that
 * bypass_sock_ops() finds `middle` set where both run.
 */
#ifndef SOCKPROXY_MIDDLE_H
#define SOCKPROXY_MIDDLE_H

#include "bypass/maps.h"
#include "bypass/pair.h"
#include "bypass/pairing.h"
#include "common/ends.h"
#include "common/kernel_sockets.h"
#include "common/multipath.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* So long after a client that takes part connections to upstreams are taken for proxied ones of
 * such: ns. Most follow within a millisecond, on a busy machine later. */
#define FOLLOWS 1000000000ULL

/* A client that takes part has come to a proxy. */
static __always_inline void see_client(void)
{
	__u64 *last = last_client();

	if (last)
		*last = bpf_ktime_get_ns();
}

/* Whether one has of late. If not, what a proxy connects to need not take part: it would pay for
 * that and gain nothing. Clients that leave a service out (worth.h) try it again by themselves, and
 * the upstream does so with them, not at times of its own. */
static __always_inline int has_client(void)
{
	__u64 *last = last_client();

	return last && bpf_ktime_get_ns() - *last < FOLLOWS;
}

/* A connection of the proxy was established. */
static __always_inline void meet_middle(struct bpf_sock_ops *ops, __u32 role)
{
	struct knobs *now = current_knobs();
	__u32 opener = OPENER_PLAIN;
	struct bpf_sock *sk = ops->sk;
	struct handshake numbers;
	struct enrolled *end;
	struct two_ends both;
	struct tcp_sock *tp;
	struct pair *pair;

	/* With --same-cgroup nothing that crosses cgroups is bypassed, as what goes past a proxy
	 * mostly does. */
	if (!now || !sk || now->mode != MODE_BYPASS || now->same_cgroup || is_multipath(ops))
		return;
	tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	numbers = read_handshake(ops, role);
	if (role == ROLE_OPENER ? !has_client() : !has_opener(&numbers))
		return;
	end = bpf_sk_storage_get(&ends, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!end ||
	    (end->cookie && !end->closed)) /* another worker's program has run, or a bypass */
		return;
	READ_ENDS(ops, &both);
	end->role = role;
	end->numbers = numbers;
	end->middle = 1;
	end->closed = 0;
	end->pair = 0;
	__sync_lock_test_and_set(&end->cookie, bpf_get_socket_cookie(ops));
	if (role == ROLE_OPENER) {
		wait_for_accepter(end, &both, (struct sock *)tp);
	} else {
		find_opener(end, &both, (struct sock *)tp, 0, &opener);
		pair = find_pair(end->pair);
		if (pair && opener == OPENER_PLAIN)
			close_pair(pair);
		else if (pair)
			see_client();
	}
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* The connection of a proxy's socket has ended. */
static __always_inline void part_middle(struct enrolled *end, struct tcp_sock *tp)
{
	__u64 middle;

	if (end->closed)
		return;
	end->closed = 1;
	wait_no_longer(end);
	learn_peer(end);
	middle = middle_of(end);
	end->pair = 0;
	forget_peer(end->cookie);
	if (middle && is_ended_by_other(tp))
		forget_peer(middle);
}

/* The state of a proxy's socket changes. */
static __always_inline void hear_middle(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct enrolled *end;
	struct tcp_sock *tp;

	if (!sk)
		return;
	end = bpf_sk_storage_get(&ends, sk, 0, 0);
	if (!end || !end->middle)
		return;
	learn_peer(end);
	switch (ops->args[1]) {
	case BPF_TCP_FIN_WAIT1:
	case BPF_TCP_LAST_ACK:
		/* It sends its FIN: bpf_tcp_ingress() would put a message behind that. */
		close_lane_of(end, 0);
		break;
	case BPF_TCP_CLOSE:
		close_pair_of(end);
		tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
		if (tp)
			part_middle(end, tp);
	}
}

#endif
