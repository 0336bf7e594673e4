// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bypass: finds the two ends of each connection that stays on this host.
 * See docs/ARCHITECTURE.md.
 */
#include "layout.h"
#include "listing.h"
#include "pairing.h"

SEC("sockops")
int bypass_sock_ops(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		meet(ops, ROLE_OPENER);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		meet(ops, ROLE_ACCEPTER);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ops->args[1] == BPF_TCP_CLOSE)
			part(ops);
	}
	return 1;
}

SEC("iter/bpf_sk_storage_map")
int list_connections(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	list_end(ctx);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
