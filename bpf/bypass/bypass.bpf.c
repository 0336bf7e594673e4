// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bypass: messages between two sockets of this host skip TCP. See docs/ARCHITECTURE.md.
 */
#include "abi/bypass.h"
#include "bypass/fionread.h"
#include "bypass/join.h"
#include "bypass/leave.h"
#include "bypass/listing.h"
#include "bypass/message.h"
#include "bypass/options.h"
#include "bypass/part.h"
#include "bypass/reader.h"
#include "bypass/state.h"
#include "bypass/syscall.h"
#include "common/kernel_iterators.h"
#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

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
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		begin_anew(ops);
		note_opener(ops);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		begin_anew(ops);
		note_listener(ops);
		break;
	case BPF_SOCK_OPS_RTT_CB:
		reconsider(ops);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		hear_end(ops);
		if (ops->args[1] == BPF_TCP_CLOSE)
			part(ops);
	}
	return 1;
}

/* One of the next two, by what loads: not on every kernel a message can look at its call. */
SEC("sk_msg")
int bypass_message(struct sk_msg_md *msg)
{
	return bypass_or_pass(msg, is_urgent());
}

SEC("sk_msg")
int bypass_message_blind(struct sk_msg_md *msg)
{
	return bypass_or_pass(msg, 0);
}

SEC("cgroup/setsockopt")
int bypass_setsockopt(struct bpf_sockopt *option)
{
	return judge_option(option);
}

SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(bypass_read, struct sock *sk)
{
	see_reader(sk);
	return 0;
}

/* These three are there only where FIONREAD is wrong: the tracepoint since Linux 6.3,
 * tcp_bpf_ioctl() not before 6.6. */
SEC("tp_btf/sock_recv_length")
int BPF_PROG(bypass_result, struct sock *sk, int result, int flags)
{
	see_result(sk, result, flags);
	return 0;
}

SEC("fentry/tcp_ioctl")
int BPF_PROG(bypass_asked, struct sock *sk, int command)
{
	see_asking(sk, command);
	return 0;
}

SEC("fentry/tcp_bpf_ioctl")
int BPF_PROG(bypass_asked_in, struct sock *sk, int command)
{
	see_asking(sk, command);
	return 0;
}

/* One of the next two, by what loads: the tracepoint is there since Linux 6.3. */
SEC("tp_btf/sk_data_ready")
int BPF_PROG(bypass_arrival, const struct sock *sk)
{
	see_arrival((struct sock *)sk);
	return 0;
}

SEC("fexit/tcp_bpf_sendmsg_redir")
int BPF_PROG(bypass_redirected, struct sock *sk)
{
	see_redirected(sk);
	return 0;
}

/* Of the next three, the first that the kernel takes, or the last two: see listing.h. A socket
 * without a cookie is one of note_opener(), and not enrolled. */
SEC("iter/bpf_sk_storage_map")
int list_storage(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct enrolled *end = ctx->value;
	struct sock *sk = ctx->sk; /* once: the verifier remembers the check of this copy */

	if (sk && end && end->cookie)
		write_line(ctx->meta, end, sk);
	return 0;
}

SEC("iter/tcp")
int list_namespace(struct bpf_iter__tcp *ctx)
{
	list_if_enrolled(ctx->meta, ctx->sk_common);
	return 0;
}

SEC("tc")
int look_up_socket(struct __sk_buff *packet)
{
	return look_up(packet);
}

char LICENSE[] SEC("license") = "GPL";
