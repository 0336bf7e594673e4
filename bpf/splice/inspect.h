/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state of one socket, read for user space.
 * Included by splice/splice.bpf.c.
 *
 * It runs by BPF_PROG_TEST_RUN: a tc program may look up a sockmap, and a system call can run it.
 * The question and the answer are the packet, so that any thread may ask.
 */
#ifndef SOCKPROXY_INSPECT_H
#define SOCKPROXY_INSPECT_H

#include "common/ends.h"
#include "common/kernel_psock.h"
#include "common/kernel_sockets.h"
#include "common/psock.h"
#include "splice/maps.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define WORK_STRUCT_PENDING 1

/* The strparser in a psock, wherever this kernel has it. */
static __always_inline struct strparser *find_strparser(struct sk_psock *psock)
{
	struct sk_psock___with_parser *older = (void *)psock;

	if (bpf_core_field_exists(psock->strp))
		return (void *)psock + bpf_core_field_offset(psock->strp);
	return (void *)older + bpf_core_field_offset(older->parser.strp);
}

static __always_inline void inspect_psock(struct inspection *seen, struct tcp_sock *tp)
{
	struct sk_psock *psock = find_psock(tp);
	struct strparser *strp;

	seen->backlog_skbs = 0;
	seen->parser_used = 0;
	seen->parser_working = 0;
	if (!psock)
		return;
	seen->backlog_skbs = BPF_CORE_READ(psock, ingress_skb.qlen);
	strp = find_strparser(psock);
	seen->parser_used = BPF_CORE_READ(strp, sk) != 0;
	seen->parser_working = BPF_CORE_READ(strp, work.data.counter) & WORK_STRUCT_PENDING;
}

static __always_inline void inspect_slot_of(struct inspection *seen)
{
	struct tcp_sock *tp;
	struct bpf_sock *sk;
	__u32 slot;

	/* Since 29173d07f798 (6.4, 6.1.32) sk_psock_backlog() comes back after EAGAIN: its work
	 * is a delayed one. Before, nobody calls it again unless the socket's parser runs. */
	seen->retries = bpf_core_field_exists(((struct sk_psock *)0)->work.timer);
	slot = seen->slot;
	sk = bpf_map_lookup_elem(&targets, &slot);
	if (!sk)
		return;
	tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	if (tp) {
		seen->found = 1;
		seen->state = BPF_CORE_READ(tp, inet_conn.icsk_inet.sk.__sk_common.skc_state);
		seen->write_seq = tp->write_seq;
		seen->snd_una = tp->snd_una;
		seen->rcv_nxt = tp->rcv_nxt;
		seen->copied_seq = tp->copied_seq;
		seen->urgent = tp->urg_data != 0;
		seen->had_fin = has_had_fin((struct sock *)tp);
		inspect_psock(seen, tp);
	}
	bpf_sk_release(sk);
}

/* Describe the socket whose slot user space has written into the packet. */
static __always_inline void inspect(struct __sk_buff *skb)
{
	struct inspection seen = {};

	if (bpf_skb_load_bytes(skb, 0, &seen.slot, sizeof(seen.slot)))
		return;
	inspect_slot_of(&seen);
	bpf_skb_store_bytes(skb, 0, &seen, sizeof(seen), 0);
}

#endif
