/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel structures of a socket: from its network namespace and its file to struct tcp_sock.
 * Included by bypass/acceptor.h, bypass/blocking.h, bypass/bypass.bpf.c, bypass/events.h,
 * bypass/fionread.h, bypass/found_blocking.h, bypass/grant.h, bypass/join.h, bypass/lane.h,
 * bypass/leave.h, bypass/listing.h, bypass/message.h, bypass/middle.h, bypass/namespaces.h,
 * bypass/observe.h, bypass/pacing.h, bypass/pairing.h, bypass/part.h, bypass/reader.h,
 * bypass/waiters.h, bypass/wakers.bpf.c, common/ends.h, common/kernel_iterators.h,
 * common/kernel_psock.h, common/multipath.h, common/psock.h, common/try_casts.bpf.c,
 * splice/direction.h, splice/inspect.h, splice/packets.h.
 */
#ifndef SOCKPROXY_KERNEL_SOCKETS_H
#define SOCKPROXY_KERNEL_SOCKETS_H

#include "common/kernel_files.h"
#include "common/kernel_types.h"

#include <linux/in6.h>

#define RCV_SHUTDOWN 1 /* of sk_shutdown */
#define SEND_SHUTDOWN 2
#define TCP_NAGLE_OFF 1 /* of nonagle */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct netns_ipv4 {
	int sysctl_tcp_rmem[3];
};

struct net {
	struct ns_common ns;
	struct netns_ipv4 ipv4;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct socket_wq; /* common/kernel_waiters.h */

typedef struct {
	int owned;
} socket_lock_t;

struct page_counter {
	atomic_long_t usage; /* pages */
	unsigned long max;
	struct page_counter *parent;
};

struct mem_cgroup {
	struct page_counter tcpmem;
};

struct proto {
	unsigned long *memory_pressure;
	long *sysctl_mem; /* pages: low, pressure, most */
};

struct sock_common {
	__u32 skc_daddr;
	__u32 skc_rcv_saddr;
	__u16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	unsigned char skc_state;
	possible_net_t skc_net;
	struct proto *skc_prot;
	unsigned long skc_flags;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
};

struct socket {
	struct file *file;
	struct sock *sk;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct sk_buff_head {
	__u32 qlen;
};

struct rb_node;

struct rb_root {
	struct rb_node *rb_node;
};

struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	struct sk_buff_head sk_error_queue;
	struct {
		atomic_t rmem_alloc;
	} sk_backlog;
	void *sk_user_data;
	struct socket *sk_socket;
	struct sock_cgroup_data sk_cgrp_data;
	struct mem_cgroup *sk_memcg;
	void *sk_bpf_storage;
	socket_lock_t sk_lock;
	struct socket_wq *sk_wq;
	int sk_rcvbuf;
	int sk_err;
	int sk_rcvlowat;
	__u8 sk_shutdown;
	unsigned char sk_userlocks : 4;
	unsigned char sk_kern_sock : 1;
};

/* The numbers here are placeholders: CO-RE puts the running kernel's in their place. */
enum sock_flags {
	SOCK_DONE = 1,
	SOCK_ZEROCOPY = 18,
};

struct inet_sock {
	struct sock sk;
};

struct tcp_congestion_ops {
	char name[16];
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	const void *icsk_ulp_ops;
	const struct tcp_congestion_ops *icsk_ca_ops;
	unsigned char icsk_ca_state : 5;
	unsigned char icsk_ca_initialized : 1;
	unsigned char icsk_ca_setsockopt : 1;
	unsigned char icsk_ca_dst_locked : 1;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	struct rb_root out_of_order_queue;
	__u32 rcv_nxt;
	__u32 copied_seq;
	__u32 rcv_wup;
	__u32 rcv_wnd;
	__u32 snd_una;
	__u32 write_seq;
	__u16 urg_data;
	unsigned char nonagle : 4;
	unsigned char is_mptcp : 1;
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u64 bytes_received;
};

#pragma clang attribute pop

#endif
