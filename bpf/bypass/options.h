/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * setsockopt(2) of what an enrolled socket cannot have.
 * Included by bypass/bypass.bpf.c.
 */
#ifndef SOCKPROXY_OPTIONS_H
#define SOCKPROXY_OPTIONS_H

#include "bypass/maps.h"
#include "bypass/pair.h"
#include "common/kernel_types.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define EOPNOTSUPP 95
#define SOL_SOCKET 1
#define SOL_TCP 6
#define TCP_ULP 31
#define SO_ZEROCOPY 60
#define SO_TIMESTAMPING_OLD 37
#define SO_TIMESTAMPING_NEW 65

/*
 * Returns 0 to refuse the option. An enrolled socket is refused two, with the error of a kernel
 * that does not know them:
 * - SO_ZEROCOPY: tcp_bpf_sendmsg() copies, and sends no notification for a call, or more than one.
 *   Set before the connection is made, the option is allowed and keeps the connection plain.
 * - TCP_ULP: kTLS would take bytes that lie in the bypass queue for plain text.
 * Time stamps (SO_TIMESTAMPING) are allowed, and end the bypass.
 */
static __always_inline int judge_option(struct bpf_sockopt *option)
{
	struct bpf_sock *sk = option->sk;
	struct enrolled *me;

	/* A cgroup hook sees a page of an option at most, and must set optlen to 0 for a longer
	 * one. */
	if (option->optlen > PAGE_BYTES)
		option->optlen = 0;
	if (!sk || !(option->level == SOL_SOCKET || option->level == SOL_TCP))
		return 1;
	if (option->level == SOL_TCP
		    ? option->optname != TCP_ULP
		    : option->optname != SO_ZEROCOPY && option->optname != SO_TIMESTAMPING_OLD &&
			      option->optname != SO_TIMESTAMPING_NEW)
		return 1;
	me = bpf_sk_storage_get(&ends, sk, 0, 0);
	if (!me || !me->in_map)
		return 1;
	if (option->level == SOL_SOCKET && option->optname != SO_ZEROCOPY) {
		is_unfit(me, TRAIT_STAMPS);
		return 1;
	}
	COUNT(refused_options);
	bpf_set_retval(-EOPNOTSUPP);
	return 0;
}

#endif
