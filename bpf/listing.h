/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: one record for each enrolled socket, of any namespace.
 */
#ifndef SOCKPROXY_LISTING_H
#define SOCKPROXY_LISTING_H

#include "bypass_maps.h"
#include "ends.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#define RCV_SHUTDOWN 1

static __always_inline void read_socket(struct connection *line, struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;

	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6) {
		BPF_CORE_READ_INTO(&line->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&line->remote, sk, __sk_common.skc_v6_daddr);
	} else {
		line->local[2] = line->remote[2] = MAPPED;
		line->local[3] = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		line->remote[3] = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	}
	line->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	line->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	line->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	line->inode = BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino);
	line->cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
	line->bytes_sent = payload_sent(tp);
	line->bytes_received = BPF_CORE_READ(tp, bytes_received);
	if (BPF_CORE_READ(sk, sk_shutdown) & RCV_SHUTDOWN && line->bytes_received)
		line->bytes_received--; /* TCP counts a FIN as a byte */
}

static __always_inline void list_end(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct enrolled *end = ctx->value;
	struct connection line = {};
	struct sock *sk = ctx->sk;
	__u64 cookie, *peer;

	if (!sk || !end)
		return;
	cookie = end->cookie;
	line.cookie = cookie;
	line.since = end->since;
	line.role = end->role;
	line.plain = end->plain;
	peer = bpf_map_lookup_elem(&peers, &cookie);
	if (peer) {
		line.peer = *peer;
		line.plain = PLAIN_NOT;
	}
	read_socket(&line, sk);
	bpf_seq_write(seq, &line, sizeof(line));
}

#endif
