/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One record for each enrolled socket, for user space to read.
 * Included by bypass/bypass.bpf.c.
 *
 * bypass.bpf.c has three programs that write it, as kernels may refuse programs of a kind:
 * - an iterator over the socket storage, which sees every network namespace;
 * - an iterator over TCP's sockets, which sees the namespace of the thread that opens it;
 * - a program run by BPF_PROG_TEST_RUN, which looks up one socket of the sockmap in any namespace.
 */
#ifndef SOCKPROXY_LISTING_H
#define SOCKPROXY_LISTING_H

#include "bypass/maps.h"
#include "bypass/observe.h"
#include "bypass/pacing.h"
#include "bypass/pair.h"
#include "common/ends.h"
#include "common/kernel_iterators.h"
#include "common/kernel_psock.h"
#include "common/kernel_sockets.h"
#include "common/psock.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* What TCP and the kernel's socket tell. */
static __always_inline void read_socket(struct connection *line, struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	struct two_ends both = {};

	read_ends(&both, sk);
	COPY_ENDS(line, &both);
	line->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	line->inode = BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino);
	line->cgroup = cgroup_of(sk);
	line->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	line->bytes_sent = payload_sent(tp);
	BPF_CORE_READ_INTO(&line->congestion_control, tp, inet_conn.icsk_ca_ops, name);
	line->bytes_received = BPF_CORE_READ(tp, bytes_received);
	if (BPF_CORE_READ(sk, sk_shutdown) & RCV_SHUTDOWN && line->bytes_received)
		line->bytes_received--; /* TCP counts a FIN as a byte */
}

/* What waits in the bypass queue: bytes where the kernel counts them, else 1 for anything. */
static __always_inline __u64 queued(struct tcp_sock *tp)
{
	struct sk_psock *psock = find_psock(tp);

	if (is_bypass_queue_empty(tp))
		return 0;
	if (!bpf_core_field_exists(psock->msg_tot_len))
		return 1;
	return BPF_CORE_READ(psock, msg_tot_len) ?: 1;
}

/* What its pair tells of a socket: whether it may bypass, and why it left the sockmap. */
static __always_inline void read_pair(struct connection *line, const struct enrolled *end,
				      struct pair *pair)
{
	struct lane *out = lane_from(pair, end->role);

	line->granted = out->limit > 0;
	line->closed = out->closed > 0;
	if (pair->holders)
		line->proxied = PROXIED_PAST;
	else if (pair->middle)
		line->proxied = PROXIED_THROUGH;
	if (pair->taken_out & end->role)
		line->in_map = 0;
	if (line->plain == PLAIN_NOT &&
	    ((end->enlisted && !line->in_map) || pair->why == PLAIN_PROXY))
		line->plain = pair->why;
}

/* Whether a message is on its way to this socket. Ask before looking at the queue: a message that
 * is no longer on its way is in the queue, so that one of the two shows it. */
static __always_inline int is_busy(const struct enrolled *end, struct pair *pair)
{
	return __sync_fetch_and_add(&lane_to(pair, end->role)->busy, 0) != 0;
}

/* Fill in the whole record of one socket, whose lock need not be held. What is read may be a moment
 * old. `unread` is still reliable once nothing more is bypassed (MODE_DRAIN): 0 stays 0 then. */
static __always_inline void describe(struct connection *line, const struct enrolled *end,
				     struct sock *sk)
{
	struct pair *pair = NULL;
	struct peer *peer;
	__u64 cookie;

	cookie = end->cookie;
	line->cookie = cookie;
	line->since = end->since;
	line->role = end->role;
	line->plain = end->plain;
	line->in_map = end->in_map;
	line->traits = end->traits;
	if (!end->closed) { /* then they are in the totals */
		line->sent.bypassed_bytes = end->sent.bypassed_bytes;
		line->sent.bypassed_messages = end->sent.bypassed_messages;
		line->sent.passed_bytes = end->sent.passed_bytes;
		line->sent.passed_messages = end->sent.passed_messages;
	}
	peer = bpf_map_lookup_elem(&peers, &cookie);
	if (peer) {
		line->peer = peer->cookie;
		if (line->plain == PLAIN_PEER_UNSEEN)
			line->plain = PLAIN_NOT;
		pair = with_joint(find_pair(peer->pair), cookie, end->role);
	}
	if (pair) {
		line->peer = peer_in(pair, end->role);
		read_pair(line, end, pair);
		line->unread = is_busy(end, pair);
	}
	line->unread += queued((struct tcp_sock *)sk);
	if (!line->in_map)
		line->unread = 0;
	read_socket(line, sk);
	line->observed =
		gain_of(end, line->bytes_sent + line->bytes_received) | end->rounds << GAIN_BITS;
	if (end->pacing == PACING_SPARED && is_reno(line->congestion_control))
		__builtin_memcpy(line->spared, end->paced_by, sizeof(line->spared));
}

/* Whether user space is told of the socket: not of a proxy's own, nor of one without a cookie,
 * which note_opener() has left and which is not enrolled yet. */
static __always_inline int is_listed(const struct enrolled *end)
{
	return end->cookie && !end->middle;
}

/* Write the record of one socket to whoever reads the iterator. */
static __always_inline void write_line(struct bpf_iter_meta *meta, const struct enrolled *end,
				       struct sock *sk)
{
	struct connection line = {};

	describe(&line, end, sk);
	bpf_seq_write(meta->seq, &line, sizeof(line));
}

/* The iterator over TCP's sockets has come to this one: write its record if it is enrolled. For
 * requests and TIME_WAIT, which are no full sockets, bpf_skc_to_tcp_sock() gives NULL. */
static __always_inline void list_if_enrolled(struct bpf_iter_meta *meta, struct sock_common *skc)
{
	struct tcp_sock *tp = skc ? (struct tcp_sock *)bpf_skc_to_tcp_sock(skc) : NULL;
	struct enrolled *end = tp ? bpf_sk_storage_get(&ends, tp, 0, 0) : NULL;

	if (end && is_listed(end))
		write_line(meta, end, (struct sock *)tp);
}

/* Find the socket of the sockmap whose cookie stands in the packet, and put its record in place of
 * the cookie. Returns 1, or 0 when there is no such socket. Each run has a packet of its own, so
 * that several processes may look up at once. */
static __always_inline int look_up(struct __sk_buff *packet)
{
	struct connection line = {};
	struct enrolled *end;
	struct tcp_sock *tp;
	struct bpf_sock *sk;
	int found = 0;
	__u64 cookie;

	if (bpf_skb_load_bytes(packet, LOOKED_UP_AT, &cookie, sizeof(cookie)))
		return 0;
	sk = bpf_map_lookup_elem(&sockets, &cookie);
	if (!sk)
		return 0;
	tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	end = bpf_sk_storage_get(&ends, sk, 0, 0);
	if (tp && end) {
		describe(&line, end, (struct sock *)tp);
		found = !bpf_skb_store_bytes(packet, LOOKED_UP_AT, &line, sizeof(line), 0);
	}
	bpf_sk_release(sk);
	return found;
}

#endif
