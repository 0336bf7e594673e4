// SPDX-License-Identifier: GPL-2.0-only
/*
 * The programs of a bypass, by which messages between two sockets of this host skip TCP: each is a
 * SEC() function over a body in a header. See README.md, and docs/ARCHITECTURE.md.
 */
#include "bypass/fionread.h"
#include "bypass/join.h"
#include "bypass/joint.h"
#include "bypass/leave.h"
#include "bypass/listing.h"
#include "bypass/message.h"
#include "bypass/middle.h"
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

/* What a socket needs that has entered, until it ends. */
static __always_inline void go_on(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_RTT_CB:
		reconsider(ops);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		hear_end(ops);
		if (ops->args[1] == BPF_TCP_CLOSE)
			part(ops);
	}
}

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
		note_opener(ops);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		begin_anew(ops);
		note_listener(ops);
		break;
	default:
		go_on(ops);
	}
	return 1;
}

/* In its place on a cgroup that has left: no socket enters any more, and those that did go on. */
SEC("sockops")
int bypass_leaving(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		begin_anew(ops);
		break;
	default:
		go_on(ops);
	}
	return 1;
}

/* On the cgroup of a proxy, by the proxy itself. */
SEC("sockops")
int bypass_middle(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		meet_middle(ops, ROLE_OPENER);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		meet_middle(ops, ROLE_ACCEPTER);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		hear_middle(ops);
	}
	return 1;
}

/* What a proxy asks, by BPF_PROG_TEST_RUN. */
SEC("tc")
int join_past_proxy(struct __sk_buff *packet)
{
	return join_past(packet);
}

/* One of the next two, whichever loads: on some kernels an sk_msg program cannot look at the system
 * call that sends, so that it sees no urgent byte. */
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

/* The next three are loaded only where FIONREAD is wrong. Linux has the tracepoint since 6.3, and
 * tcp_bpf_ioctl() since 6.6. */
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

/* One of the next two, whichever loads: Linux has the tracepoint since 6.3. */
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

/* The next three list sockets: one of the iterators, and the look-up for what it passed over, as
 * far as the kernel takes them (LISTING in sockproxy/bpf/bypass_roles.py). */
SEC("iter/bpf_sk_storage_map")
int list_storage(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct enrolled *end = ctx->value;
	struct sock *sk = ctx->sk; /* once: the verifier remembers the check of this copy */

	if (sk && end && is_listed(end))
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
