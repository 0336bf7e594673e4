/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel structures of a thread: its program, cgroup, open files, and registers at a system call.
 * Included by bypass/events.h, bypass/executable.h, bypass/grant.h, bypass/program.h,
 * bypass/syscall.h, bypass/worth.h.
 */
#ifndef SOCKPROXY_KERNEL_TASKS_H
#define SOCKPROXY_KERNEL_TASKS_H

#include "common/kernel_files.h"
#include "common/kernel_types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct files_struct {
	atomic_t count;
};

struct mm_struct {
	unsigned long saved_auxv[48]; /* pairs of a type and a value */
	struct file *exe_file;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct thread_info {
	__u32 status; /* x86 */
};

struct task_struct {
	struct thread_info thread_info;
	struct mm_struct *mm;
	struct css_set *cgroups;
	struct files_struct *files;
	int tgid;
	struct task_struct *group_leader;
	char comm[16];
};

struct pt_regs {
	/* x86 */
	unsigned long orig_ax;
	unsigned long dx;
	unsigned long r10;
	/* arm64 */
	int syscallno;
	__u64 regs[31];
	__u64 pstate;
};

#pragma clang attribute pop

#endif
