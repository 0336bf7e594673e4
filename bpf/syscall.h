/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: in which system call the current thread reads a socket.
 */
#ifndef SOCKPROXY_SYSCALL_H
#define SOCKPROXY_SYSCALL_H

#include "kernel_types.h"
#include "shared.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define MSG_WAITALL 0x100

/* <asm/unistd.h> of x86-64 and of arm64; the objects are the same for both. */
struct call_numbers {
	long splice, getsockopt, recvfrom, recvmsg, recvmmsg;
};

static __always_inline __u32 trait_of(long call, long third, long fourth,
				      const struct call_numbers *is)
{
	if (call == is->splice)
		return TRAIT_SPLICES;
	if (call == is->getsockopt)
		return TRAIT_MAPS;
	if ((call == is->recvfrom || call == is->recvmmsg) && fourth & MSG_WAITALL)
		return TRAIT_READS | TRAIT_WAITS_FOR_ALL;
	if (call == is->recvmsg && third & MSG_WAITALL)
		return TRAIT_READS | TRAIT_WAITS_FOR_ALL;
	return TRAIT_READS;
}

/* enum end_trait of whoever is in this system call. */
static __always_inline __u32 trait_of_call(void)
{
	const struct call_numbers x86 = {275, 55, 45, 47, 299};
	const struct call_numbers arm64 = {76, 209, 207, 212, 243};
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());

	if (bpf_core_field_exists(regs->orig_ax))
		return trait_of(regs->orig_ax, regs->dx, regs->r10, &x86);
	if (bpf_core_field_exists(regs->syscallno))
		return trait_of(regs->syscallno, regs->regs[2], regs->regs[3], &arm64);
	return TRAIT_READS;
}

#endif
