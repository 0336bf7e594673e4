/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether a new connection is a subflow of MPTCP, which sock_ops must leave alone.
 * Included by bypass/join.h, bypass/middle.h, bypass/pacing.h, splice/enrol.h.
 */
#ifndef SOCKPROXY_MULTIPATH_H
#define SOCKPROXY_MULTIPATH_H

#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* An MPTCP subflow must never enter a sockmap: kernels before fbade4bd08ba crash. */
static __always_inline int is_multipath(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct tcp_sock *tp;

	if (!bpf_core_field_exists(((struct tcp_sock *)0)->is_mptcp))
		return 0;
	if (!sk)
		return 1;
	tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	return !tp || BPF_CORE_READ_BITFIELD(tp, is_mptcp);
}

#endif
