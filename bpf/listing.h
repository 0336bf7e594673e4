/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: one record for each enrolled socket, of any namespace.
 */
#ifndef SOCKPROXY_LISTING_H
#define SOCKPROXY_LISTING_H

#include "bypass_maps.h"
#include "ends.h"
#include "lane.h"

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

/* What waits in its bypass queue: bytes where the kernel counts them, else 1 for anything. */
static __always_inline __u64 queued(struct tcp_sock *tp)
{
	struct sk_psock *psock = find_psock(tp);

	if (is_bypass_queue_empty(tp))
		return 0;
	if (!bpf_core_field_exists(psock->msg_tot_len))
		return 1;
	return BPF_CORE_READ(psock, msg_tot_len) ?: 1;
}

static __always_inline void read_pair(struct connection *line, const struct enrolled *end,
				      struct pair *pair)
{
	struct lane *out = lane_from(pair, end->role);

	line->granted = out->limit > 0;
	line->closed = out->closed > 0;
	if (pair->taken_out & end->role)
		line->in_map = 0;
	if (line->plain == PLAIN_NOT && end->enlisted && !line->in_map)
		line->plain = pair->unfit ? PLAIN_UNFIT : PLAIN_STREAM;
}

/* Looked at before the queue: what is no longer on its way is there. */
static __always_inline int is_busy(const struct enrolled *end, struct pair *pair)
{
	return __sync_fetch_and_add(&lane_to(pair, end->role)->busy, 0) != 0;
}

static __always_inline void list_end(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct enrolled *end = ctx->value;
	struct connection line = {};
	struct pair *pair = NULL;
	struct sock *sk = ctx->sk;
	struct peer *peer;
	__u64 cookie;

	if (!sk || !end)
		return;
	cookie = end->cookie;
	line.cookie = cookie;
	line.since = end->since;
	line.role = end->role;
	line.plain = end->plain;
	line.in_map = end->in_map;
	line.traits = end->traits;
	if (!end->closed) { /* then they are in the totals */
		line.bypassed_bytes = end->bypassed_bytes;
		line.bypassed_messages = end->bypassed_messages;
		line.passed_bytes = end->passed_bytes;
		line.passed_messages = end->passed_messages;
	}
	peer = bpf_map_lookup_elem(&peers, &cookie);
	if (peer) {
		line.peer = peer->cookie;
		if (line.plain == PLAIN_PEER_UNSEEN)
			line.plain = PLAIN_NOT;
		pair = find_pair(peer->pair);
	}
	if (pair) {
		read_pair(&line, end, pair);
		line.unread = is_busy(end, pair);
	}
	line.unread += queued((struct tcp_sock *)sk);
	if (!line.in_map)
		line.unread = 0;
	read_socket(&line, sk);
	bpf_seq_write(seq, &line, sizeof(line));
}

#endif
