/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A ring buffer of BPF, and its only reader.
 * Included by sockmap.c.
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

/* The next record, copied to `into`, which has room for one: whether there was one. */
int take_record(struct ring *ring, void *into, size_t bytes);

#endif
