/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: walking the kernel's wait queues.
 */
#ifndef SOCKPROXY_WAIT_QUEUE_H
#define SOCKPROXY_WAIT_QUEUE_H

#include "common/kernel_waiters.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

static __always_inline struct wait_queue_entry *waiter_at(struct list_head *entry)
{
	return (void *)entry - bpf_core_field_offset(struct wait_queue_entry, entry);
}

#endif
