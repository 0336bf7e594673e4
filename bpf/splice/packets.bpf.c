// SPDX-License-Identifier: GPL-2.0-only
/*
 * The programs of a tap on a proxy, on the proxy's cgroup while somebody taps. They let everything
 * pass.
 */
#include "splice/packets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define PASS 1

SEC("cgroup_skb/ingress")
int copy_received(struct __sk_buff *skb)
{
	copy_packet(skb, WAY_RECEIVED);
	return PASS;
}

SEC("cgroup_skb/egress")
int copy_sent(struct __sk_buff *skb)
{
	copy_packet(skb, WAY_SENT);
	return PASS;
}

char LICENSE[] SEC("license") = "GPL";
