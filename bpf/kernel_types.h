/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: the fields of kernel structures that the programs read.
 * CO-RE relocates each access to where the running kernel has the field.
 */
#ifndef SOCKPROXY_KERNEL_TYPES_H
#define SOCKPROXY_KERNEL_TYPES_H

#include <linux/types.h>

typedef __u32 uint32_t;
typedef __u64 uint64_t;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sock_common {
	unsigned char skc_state;
};

struct sock {
	struct sock_common __sk_common;
	void *sk_user_data;
};

struct inet_sock {
	struct sock sk;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 rcv_nxt;
	__u32 copied_seq;
	__u32 snd_una;
	__u32 write_seq;
	unsigned char is_mptcp : 1;
};

struct sk_buff_head {
	__u32 qlen;
};

typedef struct {
	long counter;
} atomic_long_t;

struct work_struct {
	atomic_long_t data;
};

struct strparser {
	struct sock *sk;
	struct work_struct work;
};

struct sk_psock {
	struct strparser strp;
	struct sk_buff_head ingress_skb;
};

struct sk_buff {
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
