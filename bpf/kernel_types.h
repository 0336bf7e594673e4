/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: the fields of kernel structures that the programs read.
 * CO-RE relocates each access to where the running kernel has the field.
 */
#ifndef SOCKPROXY_KERNEL_TYPES_H
#define SOCKPROXY_KERNEL_TYPES_H

#include <linux/in6.h>
#include <linux/types.h>

typedef __u32 uint32_t;
typedef __u64 uint64_t;

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

typedef struct {
	long counter;
} atomic_long_t;

struct list_head {
	struct list_head *next;
};

struct sk_buff_head {
	__u32 qlen;
};

typedef int (*wait_queue_func_t)(void);

struct wait_queue_entry {
	wait_queue_func_t func;
	struct list_head entry;
};

struct wait_queue_head {
	struct list_head head;
};

struct socket_wq {
	struct wait_queue_head wait;
	void *fasync_list;
};

struct eventpoll {
	struct wait_queue_head poll_wait;
};

struct epoll_filefd {
	struct file *file;
} __attribute__((packed));

struct epoll_event {
	__u32 events;
} __attribute__((packed));

struct epitem {
	struct epoll_filefd ffd;
	struct eventpoll *ep;
	struct epoll_event event;
};

struct eppoll_entry {
	struct epitem *base;
	struct wait_queue_entry wait;
};

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

typedef struct {
	__s64 counter;
} atomic64_t;

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

struct super_block {
	unsigned int s_dev;
};

struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
};

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	atomic_long_t refcnt;
} file_ref_t;

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct qstr d_name;
};

struct path {
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	unsigned int f_flags;
	file_ref_t f_ref;
};

/* Until Linux 6.13. */
struct file___counted {
	atomic_long_t f_count;
};

struct files_struct {
	atomic_t count;
};

struct mm_struct {
	unsigned long saved_auxv[48]; /* pairs of a type and a value */
	struct file *exe_file;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct thread_info {
	__u32 status; /* x86 */
};

struct task_struct {
	struct thread_info thread_info;
	struct mm_struct *mm;
	struct css_set *cgroups;
	struct files_struct *files;
	struct task_struct *group_leader;
	char comm[16];
};

struct pt_regs {
	/* x86 */
	unsigned long orig_ax;
	unsigned long dx;
	unsigned long r10;
	/* arm64 */
	int syscallno;
	__u64 regs[31];
	__u64 pstate;
};

struct socket {
	struct file *file;
	struct sock *sk;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct sock {
	struct sock_common __sk_common;
	void *sk_user_data;
	struct socket *sk_socket;
	struct sock_cgroup_data sk_cgrp_data;
	struct mem_cgroup *sk_memcg;
	socket_lock_t sk_lock;
	struct socket_wq *sk_wq;
	int sk_rcvbuf;
	int sk_rcvlowat;
	__u8 sk_shutdown;
	unsigned char sk_userlocks : 4;
	unsigned char sk_kern_sock : 1;
};

/* The value is the running kernel's. */
enum sock_flags {
	SOCK_ZEROCOPY = 18,
};

struct inet_sock {
	struct sock sk;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	const void *icsk_ulp_ops;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
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

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct sock *sk;
	void *value;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

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
