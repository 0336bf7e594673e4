/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From an entry of a kernel's wait queue to the waiter that it belongs to.
 * Included by bypass/waiters.h, bypass/wakers.bpf.c.
 */
#ifndef SOCKPROXY_WAIT_QUEUE_H
#define SOCKPROXY_WAIT_QUEUE_H

#include "common/kernel_waiters.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* The waiter whose list entry this is. */
static __always_inline struct wait_queue_entry *waiter_at(struct list_head *entry)
{
	return (void *)entry - bpf_core_field_offset(struct wait_queue_entry, entry);
}

#endif
