// SPDX-License-Identifier: GPL-2.0-only
/*
 * Learns the addresses of the functions by which the kernel wakes those who wait at a socket,
 * from sockets of our own: /proc/kallsyms shows zeros under kptr_restrict.
 */
#include "bypass/wait_queue.h"
#include "common/kernel_sockets.h"
#include "common/kernel_waiters.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define DROP 0
#define KEEP -1

/* The function of the first who waits at the receiving socket, or 0. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

static __always_inline void look(struct sock *sk)
{
	struct list_head *head = &BPF_CORE_READ(sk, sk_wq)->wait.head;
	struct list_head *entry = BPF_CORE_READ(head, next);
	__u32 zero = 0;
	__u64 *into = bpf_map_lookup_elem(&seen, &zero);

	if (into)
		*into = entry && entry != head ? (__u64)BPF_CORE_READ(waiter_at(entry), func) : 0;
}

/* Run on each packet before it is queued. A datagram is dropped, so that nobody is woken by it. */
SEC("socket")
int learn_waker(struct __sk_buff *packet)
{
	struct bpf_sock *sk = packet->sk;
	void *local;

	if (!sk)
		return DROP;
	local = bpf_skc_to_tcp_sock(sk);
	if (local) {
		look(local);
		return KEEP;
	}
	local = bpf_skc_to_unix_sock(sk);
	if (local)
		look(local);
	return DROP;
}

char LICENSE[] SEC("license") = "GPL";
