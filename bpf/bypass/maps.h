/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: the maps of a bypass. They are pinned, one set for each NAME.
 */
#ifndef SOCKPROXY_BYPASS_MAPS_H
#define SOCKPROXY_BYPASS_MAPS_H

#include "abi/bypass.h"
#include "bypass/state.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* What each enrolled socket is. Goes with the socket. */
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

/* Cookie of a socket to its other end; both ways. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2);
	__type(key, __u64);
	__type(value, struct peer);
} peers SEC(".maps");

/* The sockets that a message can be put into, by cookie: no cookie is ever given
 * twice, so that a message for a socket which has gone meets none. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 2);
	__type(key, __u64);
	__type(value, __u64);
} sockets SEC(".maps");

/* A pair goes back to the free ones when both its ends have closed. Programs that hold
 * an end's lock may use it: that end cannot close meanwhile. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pair);
} pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1);
	__type(value, __u32);
} free_pairs SEC(".maps");

/* How many pairs have been in use at all: only those were ever free again. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} pairs_begun SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct service);
	__type(value, struct service_record);
} services SEC(".maps");

/* How many enrolled sockets each network namespace has, by its inode: where to look for them when
 * the kernel refuses the iterator that sees all. The kernel gives these numbers out again, so that
 * there are no more of them than there were namespaces at once. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u64);
} namespaces SEC(".maps");

/* Programs whose sockets stay plain. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct program_name);
	__type(value, struct asked_for);
} left_alone SEC(".maps");

/* Who accepts connections where. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct local_port);
	__type(value, struct acceptor);
} acceptors SEC(".maps");

/* How programs were seen to read. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct runner);
	__type(value, struct program_record);
} programs SEC(".maps");

/* By what they are known to read until there is no more: enum drains. DRAINS_NOT of those that
 * were looked at. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct program);
	__type(value, __u32);
} drains SEC(".maps");

/* Two, of which one is in force: an update of a large value is not atomic. */
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
	__type(value, struct knobs);
} knobs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bypass_totals);
} totals SEC(".maps");

/* Bytes that all lanes have been granted, or that lie unread: the sum of their `lent`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __s64);
} lent SEC(".maps");

static __always_inline __s64 *all_lent(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&lent, &zero);
}

/* Written once, by attach. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wakers);
} wakers SEC(".maps");

static __always_inline struct wakers *known_wakers(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&wakers, &zero);
}

static __always_inline struct bypass_totals *all_totals(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&totals, &zero);
}

static __always_inline struct knobs *current_knobs(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&knobs, &zero);
}

#define COUNT(field)                                                                               \
	do {                                                                                       \
		struct bypass_totals *sum_ = all_totals();                                         \
		if (sum_)                                                                          \
			__sync_fetch_and_add(&sum_->field, 1);                                     \
	} while (0)

#endif
