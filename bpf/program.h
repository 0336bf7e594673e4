/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: which program the current thread runs, and those that are to be
 * left alone: by the name of their process, as `ps -o comm` shows it.
 */
#ifndef SOCKPROXY_PROGRAM_H
#define SOCKPROXY_PROGRAM_H

#include "bypass_maps.h"

#include <bpf/bpf_core_read.h>

static __always_inline void name_program(struct program *name)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct inode *inode = BPF_CORE_READ(task, mm, exe_file, f_inode);

	name->inode = BPF_CORE_READ(inode, i_ino);
	name->device = BPF_CORE_READ(inode, i_sb, s_dev);
}

static __always_inline int is_left_alone(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct process_name name = {};

	/* Threads may have names of their own. */
	BPF_CORE_READ_STR_INTO(&name.comm, task, group_leader, comm);
	return bpf_map_lookup_elem(&left_alone, &name) != NULL;
}

static __always_inline void name_port(struct local_port *port, struct sock *sk)
{
	port->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	port->port = BPF_CORE_READ(sk, __sk_common.skc_num);
}

/* The current program accepts at this socket's port. */
static __always_inline void note_acceptor(struct sock *sk)
{
	struct local_port port;
	__u8 yes = 1;

	name_port(&port, sk);
	if (is_left_alone())
		bpf_map_update_elem(&plain_ports, &port, &yes, BPF_ANY);
	else
		bpf_map_delete_elem(&plain_ports, &port);
}

static __always_inline int accepts_plain(struct sock *sk)
{
	struct local_port port;

	name_port(&port, sk);
	return bpf_map_lookup_elem(&plain_ports, &port) != NULL;
}

#endif
