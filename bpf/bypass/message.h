/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An enrolled socket sends a message: bypass_or_pass(), which runs under the socket's lock.
 * Included by bypass/bypass.bpf.c.
 */
#ifndef SOCKPROXY_MESSAGE_H
#define SOCKPROXY_MESSAGE_H

#include "bypass/events.h"
#include "bypass/found_blocking.h"
#include "bypass/grant.h"
#include "bypass/lane.h"
#include "bypass/maps.h"
#include "bypass/pair.h"
#include "bypass/policy.h"
#include "bypass/tap.h"
#include "common/ends.h"
#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* So many bytes by TCP, with nothing read in between, are a stream. */
#define STREAM_BYTES (512 * 1024)
#define MOST_WHOLE (64 * 1024) /* bytes of a message that keep_whole() copies */

/*
 * tcp_bpf_push() hands what lies in several fragments to TCP one by one, without MSG_MORE: under
 * Nagle's algorithm the second then waits until the other end's delayed acknowledgement of
 * the first. A message that lies across the end of the thread's page fragment, one in each 32 KiB
 * of what it sends, is put into one. Others of several fragments have full segments before the
 * last.
 */
static __always_inline void keep_whole(struct sk_msg_md *msg, struct tcp_sock *tp)
{
	void *data = msg->data, *end = msg->data_end;

	if (BPF_CORE_READ_BITFIELD(tp, nonagle) & TCP_NAGLE_OFF || msg->size > MOST_WHOLE ||
	    data + 1 > end || data + msg->size <= end)
		return;
	bpf_msg_pull_data(msg, 0, msg->size, 0);
}

/* Leave the message to TCP, and close the lanes when the socket has become a stream. */
static __always_inline int pass(struct sk_msg_md *msg, struct enrolled *me, struct pair *pair,
				struct tcp_sock *tp)
{
	__u32 heard = tp->copied_seq, size = msg->size;

	keep_whole(msg, tp);
	me->sent.passed_bytes += size;
	me->sent.passed_messages++;
	if (me->sent.bypassed_messages && !me->fell_back) {
		me->fell_back = 1;
		tell(me, tp, EVENT_FELL_BACK);
	}
	tap(msg, me, 1);
	if (pair) {
		void_grant(lane_from(pair, me->role));
		heard += (__u32)lane_to(pair, me->role)->taken;
	}
	if (heard != me->heard) {
		me->heard = heard;
		me->streak = 0;
	}
	me->streak += size;
	if (pair && me->streak > STREAM_BYTES) {
		pair->why = pair->why ?: PLAIN_STREAM;
		close_pair_of(me);
	}
	return SK_PASS;
}

/* The rules have changed since the socket was judged by them. */
static __always_inline void judge_again(struct sk_msg_md *msg, struct enrolled *me, __u32 version)
{
	struct two_ends both;

	me->rules = version;
	READ_ENDS(msg, &both);
	if (!is_denied(&both))
		return;
	close_pair_of(me);
	me->plain = PLAIN_POLICY;
}

/* urgent: the message ends with an urgent byte (MSG_OOB), which only TCP can carry. */
static __always_inline int bypass_or_pass(struct sk_msg_md *msg, int urgent)
{
	struct knobs *now = current_knobs();
	struct bpf_sock *sk = msg->sk;
	struct enrolled *me;
	struct tcp_sock *tp;
	struct pair *pair;
	struct lane *in, *out;
	__u64 other;

	if (!sk || !now)
		return SK_PASS;
	me = bpf_sk_storage_get(&ends, sk, 0, 0);
	tp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	if (!me || !tp)
		return SK_PASS;
	learn_peer(me);
	pair = pair_of(me);
	if (pair)
		is_through(lane_from(pair, me->role));
	look_at_mode(me, (struct sock *)tp);
	if (!pair || now->mode != MODE_BYPASS)
		return pass(msg, me, pair, tp);
	if (me->rules != now->version)
		judge_again(msg, me, now->version);
	if (pair->middle) /* to a proxy, which reads by splice(2) */
		return pass(msg, me, pair, tp);
	in = lane_to(pair, me->role);
	out = lane_from(pair, me->role);
	grant(me, in, tp, now);
	if (urgent || !charge(me, pair, tp, msg->size))
		return pass(msg, me, pair, tp);
	other = peer_in(pair, me->role);
	/* Where the other end has gone this answers SK_DROP, which the sender would see as an
	 * error. Pass the message: TCP has an answer of its own. */
	if (bpf_msg_redirect_hash(msg, &sockets, &other, BPF_F_INGRESS) != SK_PASS) {
		give_back(out, msg->size);
		return pass(msg, me, pair, tp);
	}
	me->sent.bypassed_bytes += msg->size;
	if (!me->sent.bypassed_messages++)
		tell(me, tp, EVENT_BEGAN);
	tap(msg, me, 0);
	return SK_PASS;
}

#endif
