// SPDX-License-Identifier: GPL-2.0-only
/*
 * The real kernel: two sockmaps, loaded and filled by sockproxy/bpf/splice.py. See
 * bpf/splice/maps.h for why there are two.
 */
#include "kernel.h"

#include "abi/splice.h"
#include "memory.h"
#include "sockets.h"
#include "system.h"
#include "worker.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RENEWALS 3
#define PACKET 64 /* bytes; the shortest frame that BPF_PROG_TEST_RUN takes has 14 */

struct sockmap {
	struct kernel kernel; /* first */
	struct sockmap_parts parts;
	struct direction *directions;
	struct inspection *seen;
	/* The ring buffer of holds: where its reader is, where its writers are, and its records. */
	unsigned long *consumer;
	const unsigned long *producer;
	const unsigned char *records;
	size_t ring_size, page;
};

static int bpf(enum bpf_cmd command, union bpf_attr *attr)
{
	return RETRY((int)syscall(SYS_bpf, command, attr, sizeof(*attr))) < 0 ? -errno : 0;
}

static int on_element(enum bpf_cmd command, int map, const void *key, const void *value,
		      uint64_t flags)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (uint32_t)map;
	attr.key = (uintptr_t)key;
	attr.value = (uintptr_t)value;
	attr.flags = flags;
	return bpf(command, &attr);
}

static struct sockmap *of(struct kernel *kernel)
{
	return (struct sockmap *)kernel;
}

static int insert(int map, int slot, int fd)
{
	uint32_t key = (uint32_t)slot;
	uint64_t value = (uint64_t)fd;

	return on_element(BPF_MAP_UPDATE_ELEM, map, &key, &value, BPF_NOEXIST);
}

static int take_out(int map, int slot)
{
	uint32_t key = (uint32_t)slot;
	int failed = on_element(BPF_MAP_DELETE_ELEM, map, &key, NULL, 0);

	/* sock_map_delete_elem() has EINVAL for a slot that is empty. */
	return failed == -ENOENT || failed == -EINVAL ? 0 : failed;
}

static void give_back(struct sockmap *map, int slot)
{
	uint32_t value = (uint32_t)slot;

	on_element(BPF_MAP_UPDATE_ELEM, map->parts.free_slots, NULL, &value, 0);
}

static int find(struct sockmap *map, uint64_t cookie)
{
	uint32_t slot = 0;
	int failed = on_element(BPF_MAP_LOOKUP_ELEM, map->parts.slots, &cookie, &slot, 0);

	return failed ? failed : (int)slot;
}

/* The slot that sock_ops gave the socket, from now on not freed by retire(). */
static int take_over(struct sockmap *map, int fd, uint64_t cookie)
{
	int slot = find(map, cookie);

	if (slot < 0)
		return slot;
	__atomic_store_n(&map->directions[slot].owner, cookie, __ATOMIC_RELAXED);
	fence(fd);
	return find(map, cookie) == slot ? slot : -ENOENT;
}

static int insert_anew(struct sockmap *map, int fd, uint64_t cookie)
{
	uint32_t slot = 0;
	int failed =
		on_element(BPF_MAP_LOOKUP_AND_DELETE_ELEM, map->parts.free_slots, NULL, &slot, 0);

	if (failed)
		return failed == -ENOENT ? -ENOSPC : failed;
	failed = insert(map->parts.targets, (int)slot, fd);
	if (!failed) {
		failed = on_element(BPF_MAP_UPDATE_ELEM, map->parts.slots, &cookie, &slot,
				    BPF_NOEXIST);
		if (failed)
			take_out(map->parts.targets, (int)slot);
	}
	if (failed) {
		give_back(map, (int)slot);
		return failed;
	}
	__atomic_store_n(&map->directions[slot].owner, cookie, __ATOMIC_RELAXED);
	return (int)slot;
}

static int enrol(struct kernel *kernel, int fd, uint64_t cookie)
{
	int slot = take_over(of(kernel), fd, cookie);

	return slot == -ENOENT ? insert_anew(of(kernel), fd, cookie) : slot;
}

static int inspect(struct kernel *kernel, int slot, struct inspection *seen)
{
	struct sockmap *map = of(kernel);
	unsigned char packet[PACKET] = {0};
	union bpf_attr attr;
	int failed;

	map->seen->slot = (uint32_t)slot;
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = (uint32_t)map->parts.inspect;
	attr.test.data_in = attr.test.data_out = (uintptr_t)packet;
	attr.test.data_size_in = attr.test.data_size_out = sizeof(packet);
	attr.test.repeat = 1;
	failed = bpf(BPF_PROG_TEST_RUN, &attr);
	if (failed)
		return failed;
	memcpy(seen, map->seen, sizeof(*seen));
	return seen->found != 0;
}

static int renew(struct kernel *kernel, int slot, int fd)
{
	struct sockmap *map = of(kernel);
	struct inspection seen;
	int left, failed;

	for (left = RENEWALS; left; left--) {
		failed = take_out(map->parts.targets, slot);
		if (!failed)
			failed = insert(map->parts.targets, slot, fd);
		if (!failed)
			failed = inspect(kernel, slot, &seen);
		if (failed < 0)
			return failed;
		/* sk_psock_backlog() may have held the old psock over our delete. */
		if (failed && !seen.parser_used)
			return 1;
	}
	return 0;
}

static int start(struct kernel *kernel, int slot, int fd)
{
	return insert(of(kernel)->parts.sources, slot, fd);
}

static int stop(struct kernel *kernel, int slot)
{
	return take_out(of(kernel)->parts.sources, slot);
}

static void release(struct kernel *kernel, int slot, uint64_t cookie)
{
	struct sockmap *map = of(kernel);

	take_out(map->parts.sources, slot);
	take_out(map->parts.targets, slot);
	on_element(BPF_MAP_DELETE_ELEM, map->parts.slots, &cookie, NULL, 0);
	memset(&map->directions[slot], 0, sizeof(map->directions[slot]));
	give_back(map, slot);
}

static struct direction *direction(struct kernel *kernel, int slot)
{
	return &of(kernel)->directions[slot];
}

/* -- the ring buffer: kernel/bpf/ringbuf.c has the layout -- */

static int take_hold(struct kernel *kernel)
{
	struct sockmap *map = of(kernel);
	unsigned long at = *map->consumer, length;
	const struct hold_event *event;
	const uint32_t *header;
	int slot = -1;

	while (slot < 0 && at < __atomic_load_n(map->producer, __ATOMIC_ACQUIRE)) {
		header = (const uint32_t *)(map->records + (at & (map->ring_size - 1)));
		length = __atomic_load_n(header, __ATOMIC_ACQUIRE);
		if (length & BPF_RINGBUF_BUSY_BIT)
			break;
		event = (const struct hold_event *)(header + 2);
		if (!(length & BPF_RINGBUF_DISCARD_BIT))
			slot = (int)event->slot;
		length = (length & ~(unsigned long)BPF_RINGBUF_DISCARD_BIT) + BPF_RINGBUF_HDR_SZ;
		at += (length + 7) & ~7UL;
		__atomic_store_n(map->consumer, at, __ATOMIC_RELEASE);
	}
	return slot;
}

static int open_ring(struct sockmap *map)
{
	int fd = map->parts.holds;
	void *consumer, *producer;

	map->page = (size_t)sysconf(_SC_PAGESIZE);
	map->ring_size = map->parts.holds_size;
	consumer = mmap(NULL, map->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (consumer == MAP_FAILED)
		return -errno;
	map->consumer = consumer;
	/* The records are mapped twice in a row, so that each is in one piece. */
	producer = mmap(NULL, map->page + 2 * map->ring_size, PROT_READ, MAP_SHARED, fd,
			(off_t)map->page);
	if (producer == MAP_FAILED)
		return -errno;
	map->producer = producer;
	map->records = (const unsigned char *)producer + map->page;
	return 0;
}

/* -- its life -- */

EXPORT void sockmap_free(struct kernel *kernel)
{
	struct sockmap *map = of(kernel);

	if (map->producer)
		munmap((void *)map->producer, map->page + 2 * map->ring_size);
	if (map->consumer)
		munmap(map->consumer, map->page);
	free(map);
}

EXPORT struct kernel *sockmap_new(const struct sockmap_parts *parts)
{
	struct sockmap *map = blank(sizeof(*map));
	int slot;

	if (!map) {
		errno = ENOMEM;
		return NULL;
	}
	map->kernel = (struct kernel){
		.enrol = enrol,
		.renew = renew,
		.start = start,
		.stop = stop,
		.release = release,
		.inspect = inspect,
		.direction = direction,
		.take_hold = take_hold,
		.holds_fd = parts->holds,
		.capacity = parts->capacity,
	};
	map->parts = *parts;
	map->directions = parts->directions;
	map->seen = parts->inspections;
	slot = open_ring(map);
	if (slot) {
		sockmap_free(&map->kernel);
		errno = -slot;
		return NULL;
	}
	for (slot = 0; slot < parts->capacity; slot++)
		give_back(map, slot);
	return &map->kernel;
}
