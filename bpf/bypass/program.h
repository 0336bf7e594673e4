/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which program the current thread runs, what was seen of it before, and whether it is left alone:
 * by the name of its process, as `ps -o comm` shows it, by that of its executable, which may be
 * longer, or by its executable itself.
 * Included by bypass/acceptor.h, bypass/fionread.h, bypass/found_blocking.h, bypass/join.h,
 * bypass/reader.h.
 */
#ifndef SOCKPROXY_PROGRAM_H
#define SOCKPROXY_PROGRAM_H

#include "bypass/maps.h"
#include "common/cast.h"
#include "common/kernel_tasks.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define SECOND 1000000000ULL  /* ns */
#define JUDGED_FOR 5	      /* seconds that it is known whether a program is left alone */
#define RULES_SEEN 0x7fffffff /* of a version, what is kept beside that */

/* The program of the current thread. By more than its executable: Python is not one program, and
 * what one of its scripts does says nothing of the others. */
static __always_inline void name_runner(struct runner *name)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct inode *inode = LOAD(task, mm, exe_file, f_inode);

	name->file.inode = LOAD(inode, i_ino);
	name->file.device = LOAD(inode, i_sb, s_dev);
	name->cgroup = LOAD(task, cgroups, dfl_cgrp, kn, id);
	/* Threads may have names of their own. */
	BPF_CORE_READ_STR_INTO(&name->comm, task, group_leader, comm);
}

/* Whether what was seen at that time holds no more: see `evidence`. */
static __always_inline int is_old(__u64 last)
{
	struct knobs *now = current_knobs();

	return last && now && bpf_ktime_get_ns() - last > now->evidence * SECOND;
}

/* Forget traits and modes of a program, which do not hold for good, and the proofs of one that has
 * asked FIONREAD. Other threads may see the same traits again at this moment: remember() writes the
 * time first and the traits then, so if the time has changed here, put them back. */
static __always_inline void forget_old(struct program_record *known, __u64 last)
{
	__u32 traits, blocks;

	if (__sync_val_compare_and_swap(&known->last, last, 0) != last)
		return;
	traits = known->traits;
	blocks = known->blocks;
	if (traits & TRAIT_ASKS)
		known->proofs = 0;
	__sync_fetch_and_and(&known->traits, ~traits);
	__sync_fetch_and_and(&known->blocks, ~blocks);
	if (!known->last)
		return;
	__sync_fetch_and_or(&known->traits, traits);
	__sync_fetch_and_or(&known->blocks, blocks);
}

/* What is remembered of a program, or NULL. How much it can read at once does not grow old. */
static __always_inline struct program_record *recall(const struct runner *name)
{
	struct program_record *known = bpf_map_lookup_elem(&programs, name);
	__u64 last = known ? known->last : 0;

	if (known && is_old(last))
		forget_old(known, last);
	return known;
}

/* What is remembered of the current program. Not inlined, like all that hold long keys: what is
 * inlined into one function shares 512 bytes of stack. */
static __noinline struct program_record *recall_current(void)
{
	struct runner name = {};

	name_runner(&name);
	return recall(&name);
}

/* Add what was seen to what is `known` of the program, as recall() gave it. */
static __always_inline void remember(const struct runner *name, struct program_record *known,
				     const struct program_record *seen)
{
	if (!known) {
		bpf_map_update_elem(&programs, name, seen, BPF_NOEXIST);
		return;
	}
	if (seen->last)
		__sync_lock_test_and_set(&known->last, seen->last); /* first: see forget_old() */
	__sync_fetch_and_or(&known->traits, seen->traits);
	__sync_fetch_and_or(&known->blocks, seen->blocks);
	__sync_fetch_and_add(&known->turns, seen->turns);
	__sync_fetch_and_add(&known->proofs, seen->proofs);
	if (known->proven < seen->proven)
		known->proven = seen->proven;
}

/* Whether sockets of a program with so many proofs have to stay plain, because it may ask FIONREAD,
 * or is known to, where the kernel answers that wrongly: see fionread.h. */
static __always_inline int is_unproven(__u32 proofs, int asks)
{
	struct knobs *now = current_knobs();

	return now && now->mode == MODE_BYPASS && now->proof && (asks || proofs < PROOFS);
}

/* Whether the current program is named among those that are left alone. */
static __noinline int is_named_alone(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct file *file = LOAD(task, mm, exe_file);
	struct program_name name = {};

	BPF_CORE_READ_STR_INTO(&name.name, task, group_leader, comm);
	if (bpf_map_lookup_elem(&left_alone, &name))
		return 1;
	__builtin_memset(&name, 0, sizeof(name));
	if (bpf_probe_read_kernel_str(&name.name, sizeof(name.name),
				      LOAD(file, f_path.dentry, d_name.name)) < 0)
		return 0;
	if (bpf_map_lookup_elem(&left_alone, &name))
		return 1;
	name.inode = LOAD(file, f_inode, i_ino);
	return bpf_map_lookup_elem(&left_alone, &name) != NULL;
}

/* Whether the current program, of which this is `known`, is left alone. The names to look for are
 * long, and a program that connects does so often: an answer holds for some seconds, or until the
 * rules change. It is one word, so that no half of it is another thread's. (`known` may be given to
 * another program at this moment: LRU.) */
static __always_inline int is_left_alone(struct program_record *known)
{
	__u32 second = bpf_ktime_get_ns() / SECOND;
	struct knobs *now = current_knobs();
	__u64 judged, alone;

	if (!known || !now)
		return is_named_alone();
	judged = *(volatile __u64 *)&known->judged;
	if (judged && (__u32)(judged >> 33) == (now->version & RULES_SEEN) &&
	    second - (__u32)judged < JUDGED_FOR)
		return judged >> 32 & 1;
	alone = is_named_alone();
	judged = (__u64)(now->version & RULES_SEEN) << 33 | alone << 32 | second;
	__sync_lock_test_and_set(&known->judged, judged);
	return alone;
}

#endif
