/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parser and the verdict do with one skb: take_or_hold() and move().
 * Included by splice/splice.bpf.c.
 */
#ifndef SOCKPROXY_DIRECTION_H
#define SOCKPROXY_DIRECTION_H

#include "common/kernel_psock.h"
#include "common/kernel_sockets.h"
#include "common/psock.h"
#include "splice/maps.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define EAGAIN 11

/* Where in the skb the strparser's message begins. It is not zero when part of the
 * skb was read before: by user space, or as an overlapping retransmission.
 * struct sk_skb_cb came with 5.15; before it the message lay in qdisc_skb_cb.data. */
static __always_inline __u32 message_offset(struct __sk_buff *ctx)
{
	__u32 where = bpf_core_field_offset(((struct sk_buff *)0)->cb);
	__u32 offset = 0;

	if (bpf_core_type_exists(struct sk_skb_cb))
		where += bpf_core_field_offset(((struct sk_skb_cb *)0)->strp);
	else
		where += bpf_core_field_offset(((struct qdisc_skb_cb *)0)->data);
	where += bpf_core_field_offset(((struct strp_msg *)0)->offset);
	bpf_probe_read_kernel(&offset, sizeof(offset), (void *)ctx + where);
	return offset;
}

/* The direction that this skb belongs to, and its slot; NULL when its socket has none. */
static __always_inline struct direction *find_direction(struct __sk_buff *skb, __u32 *slot)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	__u32 *found = bpf_map_lookup_elem(&slots, &cookie);

	if (!found)
		return 0;
	*slot = *found;
	return bpf_map_lookup_elem(&directions, slot);
}

/*
 * Stop the strparser, now, with the bytes still in TCP's receive queue.
 *
 * A parser's negative answer makes __strp_recv() leave the skb unread and
 * strp_abort_strp() set `stopped`: nothing more is taken, the receive window
 * closes and the sender blocks as with any slow reader. The answer also becomes
 * sk_err. EAGAIN is the one value that is harmless there: recv, send and splice
 * report "not now", and sk_psock_backlog() of the opposite direction retries.
 */
static __always_inline int hold(struct direction *dir, __u32 slot, __u32 reason)
{
	__u32 worker = dir->worker;
	struct hold_event *event;
	void *ring;

	dir->held = reason;
	dir->holds++;
	ring = bpf_map_lookup_elem(&holds, &worker);
	if (!ring)
		return -EAGAIN;
	event = bpf_ringbuf_reserve(ring, sizeof(*event), 0);
	if (event) {
		event->slot = slot;
		event->reason = reason;
		bpf_ringbuf_submit(event, 0);
	}
	return -EAGAIN;
}

/* What has been redirected to a target and not yet sent. */
struct backlog {
	__u32 bytes;
	__u32 skbs;
};

/* Bytes are counted by the target's write_seq, which moves only by what is redirected: user space
 * does not write to a target while it is redirected to. Returns 0 when there is no target. */
static __always_inline int read_backlog(struct direction *dir, struct backlog *backlog)
{
	__u32 slot = dir->target, write_seq = 0, skbs = 0;
	struct tcp_sock *tp;
	struct bpf_sock *sk;

	sk = bpf_map_lookup_elem(&targets, &slot);
	if (!sk)
		return 0;
	tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	if (tp) {
		write_seq = tp->write_seq;
		skbs = BPF_CORE_READ(find_psock(tp), ingress_skb.qlen);
	}
	bpf_sk_release(sk);
	if (!tp)
		return 0;
	if (!dir->anchored) {
		dir->anchored = 1;
		dir->anchor = write_seq;
		dir->queued = 0;
	}
	backlog->bytes = dir->queued - (write_seq - dir->anchor);
	backlog->skbs = skbs;
	return 1;
}

/* Memory that the backlog takes. One byte in an skb of its own costs as much as 700,
 * so that bytes alone bound nothing: every skb counts with the largest overhead that
 * one of them has. */
static __always_inline __u32 backlog_memory(struct direction *dir, struct backlog *backlog)
{
	__u64 memory = backlog->bytes + (__u64)backlog->skbs * dir->overhead;

	if (!backlog->bytes)
		dir->overhead = 0;
	if (memory > 0xffffffff)
		memory = 0xffffffff;
	if (memory > dir->backlog)
		dir->backlog = memory;
	return memory;
}

/* Raise the direction's overhead to that of this skb: its memory beyond its bytes. */
static __always_inline void note_overhead(struct direction *dir, struct __sk_buff *ctx)
{
	__u32 truesize = 0;

	bpf_probe_read_kernel(&truesize, sizeof(truesize),
			      (void *)ctx + bpf_core_field_offset(((struct sk_buff *)0)->truesize));
	if (truesize > ctx->len && truesize - ctx->len > dir->overhead)
		dir->overhead = truesize - ctx->len;
}

/* Before 7303524e04af (5.16, 5.15.3) sk_psock_backlog() sent an skb from its first byte, wherever
 * the message in it began. A kernel has the mend if it has both _sk_redir (5.13) and struct
 * sk_skb_cb, which came with the mend; 5.10.80 has the second alone. */
static __always_inline int is_offset_lost(__u32 offset)
{
	return offset && !(bpf_core_type_exists(struct sk_skb_cb) &&
			   bpf_core_field_exists(((struct sk_buff *)0)->_sk_redir));
}

/* What is longer than the receive buffer __strp_recv() takes for a message that is too long, and
 * stops with EMSGSIZE, which looks like a failure of the socket. TCP takes it: one skb always. */
static __always_inline int is_too_long(struct tcp_sock *tp, __u32 len)
{
	return tp && len > (__u32)BPF_CORE_READ(tp, inet_conn.icsk_inet.sk.sk_rcvbuf);
}

/* tcp_read_sock() gives the strparser the bytes before the urgent one alone, also when all are in
 * one skb; a message of that skb would then be cut, and its part kept where nobody can get it. */
static __always_inline int is_urgent_data_about(struct tcp_sock *tp)
{
	return tp && tp->urg_data;
}

/* Parser: how many bytes of this skb are taken, all of them or none. */
static __always_inline int take_or_hold(struct __sk_buff *skb)
{
	__u32 slot = 0, offset = message_offset(skb);
	struct backlog backlog = {};
	struct bpf_sock *sk = skb->sk;
	struct tcp_sock *tp = sk ? (struct tcp_sock *)bpf_skc_to_tcp_sock(sk) : 0;
	struct direction *dir;

	dir = find_direction(skb, &slot);
	if (!dir)
		return -EAGAIN;
	if (is_offset_lost(offset))
		return hold(dir, slot, HELD_PART_READ);
	if (is_too_long(tp, skb->len - offset))
		return hold(dir, slot, HELD_TOO_LONG);
	if (is_urgent_data_about(tp))
		return hold(dir, slot, HELD_URGENT);
	switch (dir->action) {
	case ACTION_HOLD:
		return hold(dir, slot, HELD_ON_REQUEST);
	case ACTION_REDIRECT:
		if (!read_backlog(dir, &backlog))
			return hold(dir, slot, HELD_TARGET_GONE);
		if (backlog_memory(dir, &backlog) >= dir->budget)
			return hold(dir, slot, HELD_BUDGET);
	}
	return skb->len - offset;
}

/* Verdict: redirect, pass or drop, and count. */
static __always_inline int move(struct __sk_buff *skb, __u32 len)
{
	struct direction *dir;
	__u32 slot = 0;

	dir = find_direction(skb, &slot);
	if (!dir)
		return SK_DROP;
	switch (dir->action) {
	case ACTION_PASS:
		dir->passed_bytes += len;
		dir->passed_skbs++;
		return SK_PASS;
	case ACTION_DROP:
		dir->dropped_bytes += len;
		dir->dropped_skbs++;
		return SK_DROP;
	}
	/* ACTION_HOLD too: what the parser took just before user space asked it to hold must still
	 * go its way. User space takes the socket's lock to wait for that: Redirect.pause(). */
	if (bpf_sk_redirect_map(skb, &targets, dir->target, 0) != SK_PASS) {
		dir->lost_bytes += len;
		return SK_DROP;
	}
	dir->queued += len;
	note_overhead(dir, skb);
	dir->redirected_bytes += len;
	dir->redirected_skbs++;
	return SK_PASS;
}

#endif
