/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a socket to the psock that a sockmap gave it, and whether the bypass queue there is empty.
 * Included by bypass/grant.h, bypass/leave.h, bypass/listing.h, bypass/reader.h,
 * splice/direction.h, splice/inspect.h, splice/packets.h.
 */
#ifndef SOCKPROXY_PSOCK_H
#define SOCKPROXY_PSOCK_H

#include "common/cast.h"
#include "common/kernel_psock.h"
#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* The low bits of sk_user_data are flags: SK_USER_DATA_NOCOPY and others. */
#define SK_USER_DATA_PTRMASK (~7UL)

/* The psock of the socket, or NULL. */
static __always_inline struct sk_psock *find_psock(struct tcp_sock *tp)
{
	struct sock *sk = (struct sock *)tp;

	return (void *)((unsigned long)sk->sk_user_data & SK_USER_DATA_PTRMASK);
}

/* Whether nothing is left to be read of what an sk_msg program has redirected to this socket. */
static __always_inline int is_bypass_queue_empty(struct tcp_sock *tp)
{
	struct sk_psock *psock = find_psock(tp);

	return !psock || LOAD(psock, ingress_msg.next) == &psock->ingress_msg;
}

#endif
