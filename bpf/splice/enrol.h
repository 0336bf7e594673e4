/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A newly established socket gets a slot and enters TARGETS; one that has closed gives the slot
 * back. So a short connection costs user space no system call on a map.
 * Included by splice/splice.bpf.c.
 */
#ifndef SOCKPROXY_ENROL_H
#define SOCKPROXY_ENROL_H

#include "common/multipath.h"
#include "splice/maps.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* A connection was established: put its socket into TARGETS at a free slot. */
static __always_inline void enrol(struct bpf_sock_ops *ops)
{
	__u64 cookie = bpf_get_socket_cookie(ops);
	struct enrolment *count;
	__u32 zero = 0, slot;

	count = bpf_map_lookup_elem(&enrolments, &zero);
	if (!count)
		return;
	if (is_multipath(ops)) {
		__sync_fetch_and_add(&count->multipath, 1);
		return;
	}
	if (bpf_map_pop_elem(&free_slots, &slot)) {
		__sync_fetch_and_add(&count->no_slot, 1);
		return;
	}
	if (bpf_sock_map_update(ops, &targets, &slot, BPF_NOEXIST)) {
		__sync_fetch_and_add(&count->refused, 1);
		goto give_back;
	}
	if (bpf_map_update_elem(&slots, &cookie, &slot, BPF_NOEXIST)) {
		bpf_map_delete_elem(&targets, &slot);
		__sync_fetch_and_add(&count->refused, 1);
		goto give_back;
	}
	__sync_fetch_and_add(&count->enrolled, 1);
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	return;
give_back:
	bpf_map_push_elem(&free_slots, &slot, 0);
}

/* The socket has closed: free its slot, unless user space owns it. A worker becomes the owner when
 * it first redirects, and then frees the slot itself, since after a reset it may still hold the
 * socket open. It waits behind the socket's lock, under which this runs: SockmapKernel.enrol(). */
static __always_inline void retire(struct bpf_sock_ops *ops)
{
	__u64 cookie = bpf_get_socket_cookie(ops);
	struct direction *dir;
	__u32 *found, slot;

	found = bpf_map_lookup_elem(&slots, &cookie);
	if (!found)
		return;
	slot = *found;
	dir = bpf_map_lookup_elem(&directions, &slot);
	if (!dir || dir->owner == cookie)
		return;
	bpf_map_delete_elem(&slots, &cookie);
	bpf_map_delete_elem(&targets, &slot);
	bpf_map_push_elem(&free_slots, &slot, 0);
}

#endif
