/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What one socket tells of both ends of its connection: addresses, ports, cgroup, bytes, FIN.
 * Included by bypass/events.h, bypass/join.h, bypass/listing.h, bypass/message.h, bypass/middle.h,
 * bypass/observe.h, bypass/pacing.h, bypass/pairing.h, bypass/part.h, bypass/policy.h,
 * bypass/tap.h, bypass/worth.h, common/rules.h, splice/inspect.h, splice/packets.h.
 */
#ifndef SOCKPROXY_ENDS_H
#define SOCKPROXY_ENDS_H

#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#define AF_INET6 10
#define MAPPED bpf_htonl(0xffff)

/* Both ends of a connection as one of its sockets sees them. */
struct two_ends {
	__u32 local[4];
	__u32 remote[4];
	__u32 local_port;
	__u32 remote_port;
};

/* Keeps the compiler from merging the reads of two branches into one read at a computed address,
 * which the verifier does not take of a context. */
#define APART() asm volatile("" ::: "memory")

/* From a context of sock_ops or sk_msg: both name these fields alike. */
#define READ_ENDS(context, ends)                                                                   \
	do {                                                                                       \
		(ends)->local_port = (context)->local_port;                                        \
		(ends)->remote_port = bpf_ntohl((context)->remote_port);                           \
		if ((context)->family == AF_INET6) {                                               \
			(ends)->local[0] = (context)->local_ip6[0];                                \
			(ends)->local[1] = (context)->local_ip6[1];                                \
			(ends)->local[2] = (context)->local_ip6[2];                                \
			(ends)->local[3] = (context)->local_ip6[3];                                \
			(ends)->remote[0] = (context)->remote_ip6[0];                              \
			(ends)->remote[1] = (context)->remote_ip6[1];                              \
			(ends)->remote[2] = (context)->remote_ip6[2];                              \
			(ends)->remote[3] = (context)->remote_ip6[3];                              \
			APART();                                                                   \
			break;                                                                     \
		}                                                                                  \
		(ends)->local[0] = (ends)->local[1] = 0;                                           \
		(ends)->local[2] = MAPPED;                                                         \
		(ends)->local[3] = (context)->local_ip4;                                           \
		(ends)->remote[0] = (ends)->remote[1] = 0;                                         \
		(ends)->remote[2] = MAPPED;                                                        \
		(ends)->remote[3] = (context)->remote_ip4;                                         \
		APART();                                                                           \
	} while (0)

/* From any socket, whose lock need not be held. `ends` is zeroed. */
static __always_inline void read_ends(struct two_ends *ends, struct sock *sk)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6) {
		BPF_CORE_READ_INTO(&ends->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&ends->remote, sk, __sk_common.skc_v6_daddr);
	} else {
		ends->local[2] = ends->remote[2] = MAPPED;
		ends->local[3] = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		ends->remote[3] = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	}
	ends->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	ends->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
}

/* Into a record that has the fields of struct two_ends among its own. */
#define COPY_ENDS(into, ends)                                                                      \
	do {                                                                                       \
		__builtin_memcpy((into)->local, (ends)->local, sizeof((into)->local));             \
		__builtin_memcpy((into)->remote, (ends)->remote, sizeof((into)->remote));          \
		(into)->local_port = (ends)->local_port;                                           \
		(into)->remote_port = (ends)->remote_port;                                         \
	} while (0)

/* The id of the cgroup that a socket belongs to. */
static __always_inline __u64 cgroup_of(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
}

/* Bytes of data that TCP has sent, each counted once. bytes_acked counts SYN and FIN too. */
static __always_inline __u64 payload_sent(struct tcp_sock *tp)
{
	return BPF_CORE_READ(tp, bytes_sent) - BPF_CORE_READ(tp, bytes_retrans);
}

/* Whether the FIN of the other end has come: tcp_fin() alone sets SOCK_DONE. After a RST the state
 * no longer tells, nor does sk_err: a send by sk_psock_backlog() may have taken what tcp_reset()
 * left there. */
static __always_inline __u32 has_had_fin(struct sock *sk)
{
	return sk->__sk_common.skc_flags >> bpf_core_enum_value(enum sock_flags, SOCK_DONE) & 1;
}

#endif
