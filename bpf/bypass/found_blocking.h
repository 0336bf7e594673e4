/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: an enrolled socket turned out to be in blocking mode.
 */
#ifndef SOCKPROXY_FOUND_BLOCKING_H
#define SOCKPROXY_FOUND_BLOCKING_H

#include "abi/bypass.h"
#include "bypass/acceptor.h"
#include "bypass/blocking.h"
#include "bypass/pair.h"
#include "bypass/program.h"
#include "bypass/state.h"
#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* For those that come: of the same program by connect(2) or listen(2), at the same port. */
static __always_inline void remember_blocking(struct sock *sk, __u32 role)
{
	struct program_record seen = {.blocks = role, .last = bpf_ktime_get_ns()};
	struct runner name = {};

	name_runner(&name);
	remember(&name, recall(&name), &seen);
	if (role == ROLE_ACCEPTER)
		note_accepted(sk, PLAIN_BLOCKS);
}

/* The owner of `sk` sends: what waits for the answer may be a read that blocks. It leaves the
 * sockmap when this is acknowledged, which on one host is mostly before send(2) returns. */
static __always_inline void look_at_mode(struct enrolled *me, struct sock *sk)
{
	if (me->traits & TRAIT_BLOCKS || !trait_of_mode(sk))
		return;
	remember_blocking(sk, me->role);
	is_unfit(me, TRAIT_BLOCKS);
}

#endif
