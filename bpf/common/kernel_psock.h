/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel structures of a sockmap: the psock that it gives a socket, its strparser, and the skbs.
 * Included by bypass/grant.h, bypass/listing.h, common/psock.h, splice/direction.h,
 * splice/inspect.h, splice/packets.h.
 */
#ifndef SOCKPROXY_KERNEL_PSOCK_H
#define SOCKPROXY_KERNEL_PSOCK_H

#include "common/kernel_sockets.h"
#include "common/kernel_types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct work_struct {
	atomic_long_t data;
};

struct timer_list {
	unsigned long expires;
};

struct delayed_work {
	struct work_struct work;
	struct timer_list timer;
};

struct strparser {
	struct sock *sk;
	struct work_struct work;
};

/* Before 5.13 (5a685cd94b21) the strparser lay one struct deeper. */
struct sk_psock_parser {
	struct strparser strp;
};

struct sk_psock___with_parser {
	struct sk_psock_parser parser;
};

struct sk_psock {
	struct strparser strp;
	struct sk_buff_head ingress_skb;
	struct list_head ingress_msg;
	__u32 msg_tot_len;
	void *saved_data_ready;
	struct delayed_work work;
};

struct sk_buff {
	unsigned long _sk_redir;
	char cb[48];
	unsigned int truesize;
};

struct strp_msg {
	int full_len;
	int offset;
};

struct _strp_msg {
	struct strp_msg strp;
};

struct sk_skb_cb {
	struct _strp_msg strp;
};

struct qdisc_skb_cb {
	unsigned char data[20];
};

#pragma clang attribute pop

#endif
