/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An enrolled socket turned out to be in blocking mode: it leaves, and those that come after it, of
 * the same program or port, stay plain.
 * Included by bypass/message.h, bypass/reader.h.
 */
#ifndef SOCKPROXY_FOUND_BLOCKING_H
#define SOCKPROXY_FOUND_BLOCKING_H

#include "bypass/acceptor.h"
#include "bypass/blocking.h"
#include "bypass/pair.h"
#include "bypass/program.h"
#include "bypass/state.h"
#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Remember that this program has sockets in blocking mode, so that what it connects or accepts from
 * now on stays plain, and so does what is accepted at the same port. */
static __always_inline void remember_blocking(struct sock *sk, __u32 role)
{
	struct program_record seen = {.blocks = role, .last = bpf_ktime_get_ns()};
	struct runner name = {};

	name_runner(&name);
	remember(&name, recall(&name), &seen);
	if (role == ROLE_ACCEPTER)
		note_accepted(sk, PLAIN_BLOCKS);
}

/* The program of `sk` sends. If the socket is in blocking mode, the read that waits for the answer
 * will block. So the socket is to leave the sockmap: it does when this message is acknowledged,
 * which on one host is mostly before send(2) returns. */
static __always_inline void look_at_mode(struct enrolled *me, struct sock *sk)
{
	if (me->traits & TRAIT_BLOCKS || !trait_of_mode(sk))
		return;
	remember_blocking(sk, me->role);
	is_unfit(me, TRAIT_BLOCKS);
}

#endif
