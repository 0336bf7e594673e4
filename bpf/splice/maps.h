/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps of the splice programs. Every socket has a slot, which is its number in all of them.
 * User space sets their sizes before it loads them (max_entries).
 * Included by splice/direction.h, splice/enrol.h, splice/inspect.h.
 *
 * A socket is in two sockmaps. TARGETS carries no program: being in it gives the
 * socket a psock, which keeps what was redirected to it until it is sent. SOURCES
 * carries the parser and the verdict: being in it as well makes the kernel take
 * the socket's bytes. Leaving SOURCES therefore stops the taking and loses nothing.
 */
#ifndef SOCKPROXY_MAPS_H
#define SOCKPROXY_MAPS_H

#include "abi/splice.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} sources SEC(".maps");

/* Mapped into the memory of the process, which so reads counters without a system call. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct direction);
} directions SEC(".maps");

/* Socket cookie to slot. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2);
	__type(key, __u64);
	__type(value, __u32);
} slots SEC(".maps");

/* Slots that no socket has. sock_ops takes from here, and so does user space for a socket that
 * sock_ops did not enrol. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 2);
	__uint(value_size, sizeof(__u32));
} free_slots SEC(".maps");

/* A ring buffer of each worker, which makes it: those of its directions that were held. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MOST_WORKERS);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_RINGBUF);
			__uint(max_entries, 4096);
		});
} holds SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct enrolment);
} enrolments SEC(".maps");

#endif
