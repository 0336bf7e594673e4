/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: how enrolled sockets are read, seen from tracepoints. What a bypass
 * queue holds is found by recvmsg alone: a reader that was seen to need more is granted
 * nothing any more, and neither is any other socket that the same executable reads.
 *
 * Every flow begins by TCP, so that its reader shows itself before anything is granted.
 */
#ifndef SOCKPROXY_WATCH_H
#define SOCKPROXY_WATCH_H

#include "bypass_maps.h"
#include "lane.h"
#include "message.h"
#include "syscall.h"

/* All sockets of the machine come here: those without a psock are none of ours. */
static __always_inline struct enrolled *enrolled_in_map(struct sock *sk)
{
	struct enrolled *me;

	if (!sk->sk_user_data)
		return NULL;
	me = bpf_sk_storage_get(&ends, sk, 0, 0);
	return me && me->in_map ? me : NULL;
}

static __always_inline void name_program(struct program *name)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct inode *inode = BPF_CORE_READ(task, mm, exe_file, f_inode);

	name->inode = BPF_CORE_READ(inode, i_ino);
	name->device = BPF_CORE_READ(inode, i_sb, s_dev);
}

/* The pair of a socket whose lock this program may not hold: unless it went to others
 * because the socket was closed meanwhile. */
static __always_inline struct pair *pair_of(const struct enrolled *me)
{
	struct pair *pair = find_pair(me->pair);

	if (!pair || pair->cookie[me->role == ROLE_ACCEPTER] != me->cookie)
		return NULL;
	return pair;
}

/* At once, for what was granted before. Both ways: with one alone the connection would
 * pay for being enrolled and gain half. */
static __always_inline void is_unfit(struct enrolled *me, __u32 trait)
{
	struct pair *pair = pair_of(me);

	__sync_fetch_and_or(&me->traits, trait);
	if (pair)
		close_pair(pair);
}

static __always_inline void remember_program(const struct program *name, __u32 *known, __u32 trait)
{
	if (known)
		__sync_fetch_and_or(known, trait);
	else
		bpf_map_update_elem(&programs, name, &trait, BPF_ANY);
}

/* A thread has read what came by TCP: tcp_rcv_space_adjust(). */
static __always_inline void see_reader(struct sock *sk)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct enrolled *me = enrolled_in_map(sk);
	struct program name = {};
	__u32 *known, trait;

	if (!me)
		return;
	trait = trait_of_call();
	if (me->reader == thread && (me->traits & trait) == trait)
		return;
	name_program(&name);
	known = bpf_map_lookup_elem(&programs, &name);
	if (trait != TRAIT_READS)
		remember_program(&name, known, trait);
	if (known)
		trait |= *known;
	me->reader = thread;
	if (trait & UNFIT_READER)
		is_unfit(me, trait);
	else
		__sync_fetch_and_or(&me->traits, trait);
}

static __always_inline void note_arrival(struct enrolled *me)
{
	struct pair *pair;

	learn_peer(me);
	pair = pair_of(me);
	if (pair)
		arrive(lane_to(pair, me->role));
}

/* `sk` was told that there is something to read: sock_def_readable(). Is it what the current
 * thread was putting into its bypass queue? */
static __always_inline void see_arrival(struct sock *sk)
{
	struct enrolled *me = enrolled_in_map(sk);

	if (me && !is_bypass_queue_empty((struct tcp_sock *)sk))
		note_arrival(me);
}

/* tcp_bpf_sendmsg_redir() has put the message into the queue of `sk`, or failed to. */
static __always_inline void see_redirected(struct sock *sk)
{
	struct enrolled *me = enrolled_in_map(sk);

	if (me)
		note_arrival(me);
}

#endif
