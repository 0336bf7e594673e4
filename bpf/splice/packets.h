/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What packets of a proxy's connections carry is copied for who taps it: all that TCP hands to its
 * sockets and takes from them, whether the kernel moves it or the proxy does.
 * Included by splice/packets.bpf.c.
 *
 * A packet of nothing but acknowledgments is left out. One is copied in pieces, for a record of a
 * ring buffer has one size: a small one, or that of struct packet.
 */
#ifndef SOCKPROXY_PACKETS_H
#define SOCKPROXY_PACKETS_H

#include "abi/packets.h"
#include "common/ends.h"
#include "common/kernel_psock.h"
#include "common/kernel_sockets.h"
#include "common/psock.h"
#include "common/rules.h"

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#define PIECE sizeof(((struct packet *)0)->data)
#define MOST_PIECES 132 /* 512 KiB, which is what BIG TCP sends at once */
#define HEAD __builtin_offsetof(struct packet, data)
#define SMALL (256 - HEAD) /* bytes of data in a small record */
#define IP_VERSION_4 4
#define IP_VERSION_6 6
#define FLAGS_AT 13 /* bytes into the header of TCP */
#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* user space puts its own in this one's place */
} packets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tapping);
} tapping SEC(".maps");

/* What the pieces of a packet have in common. */
struct headers {
	struct two_ends both; /* local is whence it comes, remote whither it goes */
	__u32 number;
	__u32 acknowledged;
	__u32 window;
	__u32 way;
	__u32 data_at; /* bytes from the header of IP on */
	__u32 size;    /* bytes of data */
	__u8 flags;
};

static __always_inline struct tapping *find_tapping(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&tapping, &key);
}

/* Each returns where the header of TCP begins, and 0 where there is none. */

static __always_inline __u32 read_ipv4(struct __sk_buff *skb, struct two_ends *both)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.protocol != IPPROTO_TCP)
		return 0;
	both->local[2] = both->remote[2] = MAPPED;
	both->local[3] = ip.saddr;
	both->remote[3] = ip.daddr;
	return ip.ihl * 4;
}

static __always_inline __u32 read_ipv6(struct __sk_buff *skb, struct two_ends *both)
{
	struct ipv6_opt_hdr more;
	__u32 at = sizeof(struct ipv6hdr);
	struct ipv6hdr ip;
	__u8 next;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return 0;
	__builtin_memcpy(both->local, &ip.saddr, sizeof(both->local));
	__builtin_memcpy(both->remote, &ip.daddr, sizeof(both->remote));
	next = ip.nexthdr;
	if (next == IPPROTO_HOPOPTS) { /* of BIG TCP, since Linux 5.19 */
		if (bpf_skb_load_bytes(skb, at, &more, sizeof(more)))
			return 0;
		next = more.nexthdr;
		at += (more.hdrlen + 1) * 8;
	}
	return next == IPPROTO_TCP ? at : 0;
}

/* 0 where it is no packet of TCP. `it` is zeroed. */
static __always_inline int read_headers(struct __sk_buff *skb, struct headers *it)
{
	struct tcphdr tcp;
	__u8 version;
	__u32 at = 0;

	if (bpf_skb_load_bytes(skb, 0, &version, sizeof(version)))
		return 0;
	if (version >> 4 == IP_VERSION_4)
		at = read_ipv4(skb, &it->both);
	else if (version >> 4 == IP_VERSION_6)
		at = read_ipv6(skb, &it->both);
	if (!at || bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp)) ||
	    bpf_skb_load_bytes(skb, at + FLAGS_AT, &it->flags, sizeof(it->flags)))
		return 0;
	it->both.local_port = bpf_ntohs(tcp.source);
	it->both.remote_port = bpf_ntohs(tcp.dest);
	it->number = bpf_ntohl(tcp.seq);
	it->acknowledged = bpf_ntohl(tcp.ack_seq);
	it->window = bpf_ntohs(tcp.window);
	it->data_at = at + tcp.doff * 4;
	it->size = skb->len > it->data_at ? skb->len - it->data_at : 0;
	return 1;
}

/* Whether the kernel moves what this socket receives: sk_psock_start_strp() and its kin set
 * saved_data_ready, and those that stop it clear it. */
static __always_inline int is_taken(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct sk_psock *psock;
	struct tcp_sock *tp;

	tp = sk ? (struct tcp_sock *)bpf_skc_to_tcp_sock(sk) : 0;
	psock = tp ? find_psock(tp) : 0;
	/* Before 5.13 it lay elsewhere. Those kernels have other faults: nothing is moved there. */
	return psock && bpf_core_field_exists(psock->saved_data_ready) &&
	       LOAD(psock, saved_data_ready);
}

static __always_inline void fill(struct packet *into, struct __sk_buff *skb,
				 const struct headers *it, __u32 offset, __u32 length, __u32 room)
{
	__u32 last = length - 1; /* huge where there is no data */

	into->when = bpf_ktime_get_ns();
	__builtin_memcpy(into->source, it->both.local, sizeof(into->source));
	__builtin_memcpy(into->target, it->both.remote, sizeof(into->target));
	into->source_port = it->both.local_port;
	into->target_port = it->both.remote_port;
	into->number = it->number + offset;
	into->acknowledged = it->acknowledged;
	into->window = it->window;
	into->way = it->way;
	into->flags = it->flags;
	if (offset && it->flags & SYN) { /* which stands before the first byte, with a number */
		into->flags &= ~SYN;
		into->number++;
	}
	if (offset + length < it->size)
		into->flags &= ~(FIN | PSH); /* which stand behind the last byte */
	into->size = 0;
	/* Before Linux 6.8 the verifier learns nothing from a comparison with 0, and a length must
	 * not be 0. */
	asm volatile("" : "+r"(last));
	if (last < room && !bpf_skb_load_bytes(skb, it->data_at + offset, into->data, last + 1))
		into->size = last + 1;
	/* Who taps looks by himself. */
	bpf_ringbuf_submit(into, BPF_RB_NO_WAKEUP);
}

/* Copy the piece that begins at `offset`. 0 when there was no room for it. */
static __noinline int copy_piece(struct __sk_buff *skb, const struct headers *it, __u32 offset)
{
	__u32 length = it->size - offset;
	struct packet *into;

	if (length > PIECE)
		length = PIECE;
	if (length <= SMALL) {
		into = bpf_ringbuf_reserve(&packets, HEAD + SMALL, 0);
		if (!into)
			return 0;
		fill(into, skb, it, offset, length, SMALL);
	} else {
		into = bpf_ringbuf_reserve(&packets, sizeof(*into), 0);
		if (!into)
			return 0;
		fill(into, skb, it, offset, length, PIECE);
	}
	return 1;
}

/* Copy a packet that goes this way. */
static __always_inline void copy_packet(struct __sk_buff *skb, __u32 way)
{
	struct tapping *now = find_tapping();
	struct headers it = {};
	__u32 piece;

	if (!now || !read_headers(skb, &it) || !(it.size || it.flags & (FIN | SYN | RST)) ||
	    are_denied(&now->rules, &it.both))
		return;
	it.way = way == WAY_RECEIVED && is_taken(skb) ? WAY_TAKEN : way;
	for (piece = 0; piece < MOST_PIECES && (!piece || piece * PIECE < it.size); piece++)
		if (!copy_piece(skb, &it, piece * PIECE))
			__sync_fetch_and_add(&now->lost, 1);
}

#endif
