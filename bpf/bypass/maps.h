/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps of a bypass, pinned as one set for each NAME, and short ways to those of one entry.
 * Included by bypass/acceptor.h, bypass/blocking.h, bypass/chain.h, bypass/events.h,
 * bypass/executable.h, bypass/fionread.h, bypass/grant.h, bypass/join.h, bypass/joint.h,
 * bypass/leave.h, bypass/listing.h, bypass/message.h, bypass/middle.h, bypass/namespaces.h,
 * bypass/observe.h, bypass/options.h, bypass/pacing.h, bypass/pair.h, bypass/pairing.h,
 * bypass/part.h, bypass/policy.h, bypass/program.h, bypass/reader.h, bypass/tap.h,
 * bypass/waiters.h, bypass/worth.h.
 */
#ifndef SOCKPROXY_BYPASS_MAPS_H
#define SOCKPROXY_BYPASS_MAPS_H

#include "abi/events.h"
#include "abi/observed.h"
#include "bypass/state.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* What is kept with each enrolled socket. The kernel frees an entry with its socket. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct enrolled);
} ends SEC(".maps");

/* Ends that opened a connection and wait for the end that accepts it, by their numbers. Most wait
 * in vain, because the other end is on another host: the oldest make room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct handshake);
	__type(value, struct opener);
} openers SEC(".maps");

/* The same of those that are paced. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct handshake);
	__type(value, struct paced_opener);
} paced SEC(".maps");

/* The other end of a paired socket, by the socket's cookie: two entries for each pair. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2);
	__type(key, __u64);
	__type(value, struct peer);
} peers SEC(".maps");

/* The sockmap: sockets that a message can be put into, by cookie. No cookie is ever given twice, so
 * that a message for a socket which has gone finds none. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 2);
	__type(key, __u64);
	__type(value, __u64);
} sockets SEC(".maps");

/* Pair number N at index N - 1. A pair is free again when both its ends have closed. A program that
 * holds the lock of an end may use the pair: that end cannot close meanwhile. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pair);
} pairs SEC(".maps");

/* Numbers of pairs that were in use and are free again. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1);
	__type(value, __u32);
} free_pairs SEC(".maps");

/* How many pairs were ever in use: those with higher numbers are free, and not in free_pairs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} pairs_begun SEC(".maps");

/* How connections to services ended: see worth.h. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct service);
	__type(value, struct service_record);
} services SEC(".maps");

/* What a bypass that only observes has found out: see observe.h. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct place);
	__type(value, struct observed);
} observed SEC(".maps");

/* How many enrolled sockets each network namespace has, by its inode: where user space looks for
 * them when the kernel refuses the iterator that sees all. The kernel gives the numbers of inodes
 * out again, so that there are no more entries than there were namespaces at once. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u64);
} namespaces SEC(".maps");

/* Programs that are left alone, and how the user named them. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct program_name);
	__type(value, struct asked_for);
} left_alone SEC(".maps");

/* What is known of the programs that accept connections, by port. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct local_port);
	__type(value, struct acceptor);
} acceptors SEC(".maps");

/* How programs were seen to read: see program.h. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct runner);
	__type(value, struct program_record);
} programs SEC(".maps");

/* Why executables are known to read until EAGAIN: enum drains. DRAINS_NOT of one that was examined
 * and is not known to; no entry of one that was not examined yet. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct program);
	__type(value, __u32);
} drains SEC(".maps");

/* Two, of which one is in force, as the knobs say: an update of a large value is not atomic. User
 * space writes the other one and then turns the knob. The third has the rules of the tap. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TAP_RULES + 1);
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

/* Bytes that all lanes together have been granted, or that lie unread in them: the sum of `lent`.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __s64);
} lent SEC(".maps");

/* When a client that takes part last came to a proxy: CLOCK_MONOTONIC, ns. See middle.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} clients SEC(".maps");

static __always_inline __u64 *last_client(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&clients, &zero);
}

static __always_inline __s64 *all_lent(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&lent, &zero);
}

/* Those who listen to what happens (events.h), and their ring buffers. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct listeners);
} listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_RINGBUF);
			__uint(max_entries, 4096);
		});
} rings SEC(".maps");

static __always_inline struct listeners *all_listeners(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&listeners, &zero);
}

/* Addresses of the kernel's functions that wake: written by user space before it bypasses. */
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
