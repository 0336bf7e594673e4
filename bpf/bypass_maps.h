/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: the maps of a bypass. They are pinned, one set for each NAME.
 */
#ifndef SOCKPROXY_BYPASS_MAPS_H
#define SOCKPROXY_BYPASS_MAPS_H

#include "kernel_types.h"
#include "shared.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* What each enrolled socket is. Goes with the socket; user space lists it by
 * bpf_iter, which reaches every network namespace. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct enrolled);
} ends SEC(".maps");

/* Who opened a connection and waits for the end that accepts it. Most wait in vain,
 * because the other end is elsewhere: the oldest make room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct handshake);
	__type(value, struct opener);
} openers SEC(".maps");

/* Cookie of a socket to that of its other end; both ways. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2);
	__type(key, __u64);
	__type(value, __u64);
} peers SEC(".maps");

/* Two, and which one is in force: an update of a large value is not atomic. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} in_force SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bypass_totals);
} totals SEC(".maps");

#endif
