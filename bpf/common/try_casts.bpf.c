// SPDX-License-Identifier: GPL-2.0-only
/* Loads where programs may cast: see cast.h. It is never run. */
#define WITH_CASTS
#include "common/cast.h"
#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("sk_msg")
int try_casts(struct sk_msg_md *msg)
{
	struct sock *sk = (struct sock *)(unsigned long)msg->size;

	return LOAD(sk, sk_socket, file) ? SK_PASS : SK_DROP;
}

char LICENSE[] SEC("license") = "GPL";
