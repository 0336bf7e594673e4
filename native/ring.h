/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A ring buffer of BPF, and its only reader.
 * Included by sockmap.c.
 *
 * cffi reads this file: no macros but the guard.
 */
#ifndef SOCKPROXY_RING_H
#define SOCKPROXY_RING_H

#include <stddef.h>
#include <stdint.h>

/* Where its reader is, where its writers are, and the records. */
struct ring {
	int fd; /* polls readable when there are records; -1: it is not open */
	unsigned long *consumer;
	const unsigned long *producer;
	const unsigned char *records;
	size_t size, page;
};

/* Make one that has room for so many records of `bytes` at once. 0, or a negative errno and
 * nothing. */
int open_ring(struct ring *ring, size_t records, size_t bytes);

/* Twice is allowed. */
void close_ring(struct ring *ring);

/* The next record, as much of it as `bytes`, copied to `into`: whether there was one. */
int take_record(struct ring *ring, void *into, size_t bytes);

/* The next ones that began before the place `until`, of which `into` has room for `most` of `bytes`
 * each: how many there were. */
uint32_t take_records(struct ring *ring, void *into, size_t bytes, uint32_t most,
		      unsigned long until);

#endif
