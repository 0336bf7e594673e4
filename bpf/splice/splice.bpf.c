// SPDX-License-Identifier: GPL-2.0-only
/*
 * The programs of a splice: each is a SEC() function over a body in a header. The stream parser
 * takes an skb or holds the direction; the stream verdict redirects what was taken. See README.md,
 * and docs/ARCHITECTURE.md.
 */
#include "splice/direction.h"
#include "splice/enrol.h"
#include "splice/inspect.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("sockops")
int enrol_established(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		enrol(ops);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ops->args[1] == BPF_TCP_CLOSE)
			retire(ops);
	}
	return 1;
}

SEC("sk_skb/stream_parser")
int splice_parser(struct __sk_buff *skb)
{
	return take_or_hold(skb);
}

SEC("sk_skb/stream_verdict")
int splice_verdict(struct __sk_buff *skb)
{
	/* The strparser hands over a message that starts at an offset of its skb. */
	return move(skb, skb->len - message_offset(skb));
}

/* The verdict for a sockmap without a parser, where an skb comes whole. For measurements only: it
 * is not exact, see docs/decisions/0002-parser-path.md. */
SEC("sk_skb")
int splice_verdict_only(struct __sk_buff *skb)
{
	return move(skb, skb->len);
}

SEC("tc")
int inspect_slot(struct __sk_buff *skb)
{
	inspect(skb);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
