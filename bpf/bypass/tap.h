/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tap: what sockets of the sockmap send is copied for who has asked for it, as tcpdump sees
 * nothing of what is bypassed.
 * Included by bypass/message.h.
 *
 * Both what goes past TCP and what goes by it is copied, so that the stream is whole; from the
 * message on at which a socket leaves the sockmap there is nothing more. A message is copied in
 * pieces, for a record of a ring buffer has one size: a small one, or that of struct tapped.
 */
#ifndef SOCKPROXY_TAP_H
#define SOCKPROXY_TAP_H

#include "abi/events.h"
#include "bypass/maps.h"
#include "bypass/policy.h"
#include "common/ends.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define PIECE sizeof(((struct tapped *)0)->data)
#define MOST_PIECES 160 /* more than tcp_bpf_sendmsg() puts into one message */
#define HEAD __builtin_offsetof(struct tapped, data)
#define SMALL (256 - HEAD) /* bytes of data in a small record */

static __always_inline int is_tapped(void)
{
	struct listeners *all = all_listeners();

	return all && all->until[TAP_SLOT];
}

/* What the pieces of a message have in common. */
struct tapped_message {
	struct two_ends both;
	__u64 at; /* bytes that the socket had sent before */
	__u32 by_tcp;
};

/* Fill in a record that has `room` for data, of which `length` bytes from `offset` on are there. */
static __always_inline void fill(struct tapped *into, struct sk_msg_md *msg,
				 const struct tapped_message *it, __u32 offset, __u32 length,
				 __u32 room)
{
	into->when = bpf_ktime_get_ns();
	into->at = it->at + offset;
	COPY_ENDS(into, &it->both);
	into->by_tcp = it->by_tcp;
	into->size = length;
	if (length <= room)
		bpf_probe_read_kernel(into->data, length, msg->data);
	/* Who taps looks by himself, as listeners do. */
	bpf_ringbuf_submit(into, BPF_RB_NO_WAKEUP);
}

/* Copy the piece that begins at `offset`. 0 when there was no room for it. */
static __noinline int copy_piece(struct sk_msg_md *msg, const struct tapped_message *it,
				 __u32 offset)
{
	__u32 length = msg->size - offset, slot = TAP_SLOT;
	void *ring = bpf_map_lookup_elem(&rings, &slot);
	struct tapped *into;

	if (!ring)
		return 0;
	if (length > PIECE)
		length = PIECE;
	/* So that it lies in one place, which msg->data is the address of. */
	if (bpf_msg_pull_data(msg, offset, offset + length, 0))
		return 0;
	if (length <= SMALL) {
		into = bpf_ringbuf_reserve(ring, HEAD + SMALL, 0);
		if (!into)
			return 0;
		fill(into, msg, it, offset, length, SMALL);
	} else {
		into = bpf_ringbuf_reserve(ring, sizeof(*into), 0);
		if (!into)
			return 0;
		fill(into, msg, it, offset, length, PIECE);
	}
	return 1;
}

/* Copy the message, which was counted in me->sent. Global, so that the verifier looks at it once
 * for each program. */
__attribute__((noinline)) int copy_message(struct sk_msg_md *msg, struct enrolled *me, __u32 by_tcp)
{
	struct listeners *all = all_listeners();
	struct tapped_message it = {.by_tcp = by_tcp};
	__u32 piece;

	if (!me || !all || all->until[TAP_SLOT] <= bpf_ktime_get_ns())
		return 0;
	READ_ENDS(msg, &it.both);
	if (is_denied_by(TAP_RULES, &it.both))
		return 0;
	it.at = me->sent.bypassed_bytes + me->sent.passed_bytes - msg->size;
	for (piece = 0; piece < MOST_PIECES && piece * PIECE < msg->size; piece++)
		if (!copy_piece(msg, &it, piece * PIECE))
			__sync_fetch_and_add(&all->lost[TAP_SLOT], 1);
	return 0;
}

static __always_inline void tap(struct sk_msg_md *msg, struct enrolled *me, __u32 by_tcp)
{
	if (is_tapped())
		copy_message(msg, me, by_tcp);
}

#endif
