/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: setsockopt(2) of what an enrolled socket cannot have.
 */
#ifndef SOCKPROXY_OPTIONS_H
#define SOCKPROXY_OPTIONS_H

#include "abi/bypass.h"
#include "bypass/maps.h"
#include "bypass/pair.h"
#include "bypass/state.h"
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
 * Refused, as kernels refuse them that do not know them:
 * - SO_ZEROCOPY: tcp_bpf_sendmsg() copies, and a notification for each send never comes,
 *   or more than one does. Set before the connection is made, it keeps it plain.
 * - TCP_ULP: kTLS would take bytes for plain text that lie in the bypass queue.
 */
static __always_inline int judge_option(struct bpf_sockopt *option)
{
	struct bpf_sock *sk = option->sk;
	struct enrolled *me;

	/* cgroup hooks see a page at most, and must say so for more. */
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
