/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How many enrolled sockets each network namespace has: a socket is counted from when it is
 * established until it closes.
 * Included by bypass/join.h, bypass/part.h.
 */
#ifndef SOCKPROXY_NAMESPACES_H
#define SOCKPROXY_NAMESPACES_H

#include "bypass/maps.h"
#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* The socket is established. */
static __always_inline void count_in_namespace(struct enrolled *end, struct sock *sk)
{
	__u32 netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	__u64 *sockets, none = 0;

	if (end->netns) /* counted with an earlier connection, before connect(AF_UNSPEC) */
		return;
	sockets = bpf_map_lookup_elem(&namespaces, &netns);
	if (!sockets) {
		bpf_map_update_elem(&namespaces, &netns, &none, BPF_NOEXIST);
		sockets = bpf_map_lookup_elem(&namespaces, &netns);
	}
	if (!sockets)
		return;
	__sync_fetch_and_add(sockets, 1);
	end->netns = netns;
}

/* The socket has closed. */
static __always_inline void count_no_more(struct enrolled *end)
{
	__u32 netns = end->netns;
	__u64 *sockets;

	end->netns = 0;
	sockets = netns ? bpf_map_lookup_elem(&namespaces, &netns) : NULL;
	if (sockets)
		__sync_fetch_and_add(sockets, -1);
}

#endif
