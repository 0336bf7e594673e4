/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel structures that several others hold: lists, counters, cgroups. As in all kernel_*.h only
 * the fields that are read are declared; CO-RE relocates each access to where the running kernel
 * has the field.
 * Included by bypass/options.h, common/kernel_files.h, common/kernel_psock.h,
 * common/kernel_sockets.h, common/kernel_tasks.h, common/kernel_waiters.h.
 */
#ifndef SOCKPROXY_KERNEL_TYPES_H
#define SOCKPROXY_KERNEL_TYPES_H

#include <linux/types.h>

#define PAGE_BYTES 4096 /* on x86-64, and on arm64 as distributions build it */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	long counter;
} atomic_long_t;

typedef struct {
	__s64 counter;
} atomic64_t;

struct list_head {
	struct list_head *next;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

#pragma clang attribute pop

#endif
