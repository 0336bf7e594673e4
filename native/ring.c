// SPDX-License-Identifier: GPL-2.0-only
/* kernel/bpf/ringbuf.c has the layout. */
#include "ring.h"

#include "bpf.h"
#include "system.h"
#include "worker.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int make(struct ring *ring, size_t room)
{
	union bpf_attr attr;

	ring->page = (size_t)sysconf(_SC_PAGESIZE);
	ring->size = ring->page;
	while (ring->size < room)
		ring->size *= 2;
	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_RINGBUF;
	attr.max_entries = (uint32_t)ring->size;
	ring->fd = bpf(BPF_MAP_CREATE, &attr);
	return ring->fd < 0 ? ring->fd : 0;
}

static int map(struct ring *ring)
{
	size_t pages = ring->page + 2 * ring->size; /* twice, so that each record is in one piece */
	void *place = mmap(NULL, ring->page, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);

	if (place == MAP_FAILED)
		return -errno;
	ring->consumer = place;
	place = mmap(NULL, pages, PROT_READ, MAP_SHARED, ring->fd, (off_t)ring->page);
	if (place == MAP_FAILED)
		return -errno;
	ring->producer = place;
	ring->records = (const unsigned char *)place + ring->page;
	return 0;
}

EXPORT int open_ring(struct ring *ring, size_t records, size_t bytes)
{
	int failed;

	memset(ring, 0, sizeof(*ring));
	failed = make(ring, records * (bytes + BPF_RINGBUF_HDR_SZ));
	if (!failed)
		failed = map(ring);
	if (failed)
		close_ring(ring);
	return failed;
}

EXPORT void close_ring(struct ring *ring)
{
	if (ring->producer)
		munmap((void *)ring->producer, ring->page + 2 * ring->size);
	if (ring->consumer)
		munmap(ring->consumer, ring->page);
	if (ring->fd >= 0)
		sys.close(ring->fd);
	memset(ring, 0, sizeof(*ring));
	ring->fd = -1;
}

int take_record(struct ring *ring, void *into, size_t bytes)
{
	unsigned long at = *ring->consumer, length;
	const uint32_t *header;
	int found = 0;

	/* bpf_ringbuf_commit() tells of a record only where it finds that all before it was taken:
	 * it must see that, or this the record. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	while (!found && at < __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE)) {
		header = (const uint32_t *)(ring->records + (at & (ring->size - 1)));
		length = __atomic_load_n(header, __ATOMIC_ACQUIRE);
		if (length & BPF_RINGBUF_BUSY_BIT)
			break;
		if (!(length & BPF_RINGBUF_DISCARD_BIT)) {
			memcpy(into, header + 2, length < bytes ? length : bytes);
			found = 1;
		}
		length = (length & ~(unsigned long)BPF_RINGBUF_DISCARD_BIT) + BPF_RINGBUF_HDR_SZ;
		at += (length + 7) & ~7UL;
		__atomic_store_n(ring->consumer, at, __ATOMIC_RELEASE);
	}
	return found;
}

EXPORT uint32_t take_records(struct ring *ring, void *into, size_t bytes, uint32_t most,
			     unsigned long until)
{
	uint32_t taken = 0;

	while (taken < most && *ring->consumer < until &&
	       take_record(ring, (char *)into + taken * bytes, bytes))
		taken++;
	return taken;
}
