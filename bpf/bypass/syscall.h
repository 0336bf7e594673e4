/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * In which system call the current thread reads a socket, or writes to it.
 * Included by bypass/bypass.bpf.c, bypass/fionread.h, bypass/reader.h.
 *
 * Calls of 32-bit programs have other numbers: they are taken for the call that a bypass suits
 * least.
 */
#ifndef SOCKPROXY_SYSCALL_H
#define SOCKPROXY_SYSCALL_H

#include "abi/bypass.h"
#include "common/kernel_tasks.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define MSG_OOB 0x1
#define MSG_PEEK 0x2
#define MSG_TRUNC 0x20
#define MSG_WAITALL 0x100

#define TS_COMPAT 2	    /* x86, thread_info.status: the call has a number of i386 */
#define X32_BIT 0x40000000  /* x86, in the number: it is one of x32 */
#define PSR_MODE32_BIT 0x10 /* arm64, pstate: the program that calls has 32 bits */
#define FOREIGN (-2)	    /* in place of a number that is in neither of the tables below */

/* <asm/unistd.h> of x86-64 and of arm64; the objects are the same for both. */
struct call_numbers {
	long splice, getsockopt, recvfrom, recvmsg, recvmmsg, sendto, sendmsg, sendmmsg, read;
};

#define X86_CALLS                                                                                  \
	{                                                                                          \
		275, 55, 45, 47, 299, 44, 46, 307, 0                                               \
	}
#define ARM64_CALLS                                                                                \
	{                                                                                          \
		76, 209, 207, 212, 243, 206, 211, 269, 63                                          \
	}

/* A system call: its number, two of its arguments, and the numbers of the machine's table. */
struct call {
	long number, third, fourth;
	struct call_numbers is;
};

/* Whether the call's number is of i386 or of x32. */
static __always_inline int is_foreign_x86(struct task_struct *task, const struct pt_regs *regs)
{
	if (regs->orig_ax >> 30 == X32_BIT >> 30)
		return 1;
	return bpf_core_field_exists(task->thread_info.status) &&
	       task->thread_info.status & TS_COMPAT;
}

/* The current thread's system call. Its number is FOREIGN where no table here has it. */
static __always_inline void read_call(struct call *call)
{
	const struct call_numbers x86 = X86_CALLS, arm64 = ARM64_CALLS;
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

	call->number = FOREIGN;
	if (bpf_core_field_exists(regs->orig_ax)) {
		call->is = x86;
		if (is_foreign_x86(task, regs))
			return;
		call->number = regs->orig_ax;
		call->third = regs->dx;
		call->fourth = regs->r10;
	} else if (bpf_core_field_exists(regs->syscallno)) {
		call->is = arm64;
		if (regs->pstate & PSR_MODE32_BIT)
			return;
		call->number = regs->syscallno;
		call->third = regs->regs[2];
		call->fourth = regs->regs[3];
	}
}

/* enum end_trait of recv and its kin, by their flags. A program that peeks until so many bytes are
 * there would do so for ever when some lie in each queue. MSG_TRUNC needs no buffer, which
 * __sk_msg_recvmsg() does not know. */
static __always_inline __u32 trait_of_flags(long flags)
{
	if (flags & MSG_PEEK)
		return TRAIT_PEEKS;
	return TRAIT_READS | (flags & MSG_WAITALL ? TRAIT_WAITS_FOR_ALL : 0) |
	       (flags & MSG_TRUNC ? TRAIT_THROWS : 0);
}

/* How many bytes the current read has room for; 0 where only a vector in user memory tells. */
static __always_inline long room_of_call(void)
{
	struct call call = {};

	read_call(&call);
	return call.number == call.is.recvfrom || call.number == call.is.read ? call.third : 0;
}

/* enum end_trait of the reader in this system call. A foreign call may be splice(2). */
static __always_inline __u32 trait_of_call(void)
{
	struct call call = {};

	read_call(&call);
	if (call.number == FOREIGN)
		return TRAIT_UNSEEN;
	if (call.number == call.is.splice)
		return TRAIT_SPLICES;
	if (call.number == call.is.getsockopt)
		return TRAIT_MAPS;
	if (call.number == call.is.recvfrom || call.number == call.is.recvmmsg)
		return trait_of_flags(call.fourth);
	if (call.number == call.is.recvmsg)
		return trait_of_flags(call.third);
	return TRAIT_READS;
}

/* Whether the last byte of what is sent is urgent, and so no part of the stream. A foreign call is
 * taken to send one. */
static __always_inline int is_urgent(void)
{
	struct call call = {};

	read_call(&call);
	if (call.number == FOREIGN)
		return 1;
	if (call.number == call.is.sendto || call.number == call.is.sendmmsg)
		return call.fourth & MSG_OOB;
	return call.number == call.is.sendmsg && call.third & MSG_OOB;
}

#endif
