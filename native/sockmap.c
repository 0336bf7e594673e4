// SPDX-License-Identifier: GPL-2.0-only
/*
 * The real kernel: two sockmaps, loaded by sockproxy/bpf/splice.py, as one worker has them. See
 * bpf/splice/maps.h for why there are two. Workers that share them share the slots, and each has a
 * ring buffer of its own for the holds.
 */
#include "kernel.h"

#include "abi/splice.h"
#include "bpf.h"
#include "memory.h"
#include "ring.h"
#include "shared.h"
#include "sockets.h"
#include "system.h"
#include "worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RENEWALS 3

struct sockmap {
	struct kernel kernel; /* first */
	struct sockmap_parts parts;
	struct direction *directions;
	uint32_t worker;
	struct ring holds;
};

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

static int give_back(const struct sockmap_parts *parts, int slot)
{
	uint32_t value = (uint32_t)slot;

	return on_element(BPF_MAP_UPDATE_ELEM, parts->free_slots, NULL, &value, 0);
}

static int find(struct sockmap *map, uint64_t cookie)
{
	uint32_t slot = 0;
	int failed = on_element(BPF_MAP_LOOKUP_ELEM, map->parts.slots, &cookie, &slot, 0);

	return failed ? failed : (int)slot;
}

/* The slot that sock_ops gave the socket, from now on not freed by retire(). The socket may be
 * reset at any moment before that, and its slot be another's, of another worker too: nothing of
 * that is overwritten. */
static int take_over(struct sockmap *map, int fd, uint64_t cookie)
{
	int slot = find(map, cookie);
	uint64_t before;

	if (slot < 0)
		return slot;
	before = LOAD(map->directions[slot].owner);
	if (find(map, cookie) != slot ||
	    !__sync_bool_compare_and_swap(&map->directions[slot].owner, before, cookie))
		return -ENOENT;
	fence(fd);
	if (find(map, cookie) != slot)
		return -ENOENT;
	STORE(map->directions[slot].worker, map->worker);
	return slot;
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
		give_back(&map->parts, (int)slot);
		return failed;
	}
	STORE(map->directions[slot].worker, map->worker);
	STORE(map->directions[slot].owner, cookie);
	return (int)slot;
}

static int enrol(struct kernel *kernel, int fd, uint64_t cookie)
{
	int slot = take_over(of(kernel), fd, cookie);

	return slot == -ENOENT ? insert_anew(of(kernel), fd, cookie) : slot;
}

static int inspect(struct kernel *kernel, int slot, struct inspection *seen)
{
	int failed;

	*seen = (struct inspection){.slot = (uint32_t)slot};
	failed = run_program(of(kernel)->parts.inspect, seen, sizeof(*seen));
	return failed ? failed : seen->found != 0;
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
	give_back(&map->parts, slot);
}

static struct direction *direction(struct kernel *kernel, int slot)
{
	return &of(kernel)->directions[slot];
}

static int take_hold(struct kernel *kernel)
{
	struct hold_event event;

	return take_record(&of(kernel)->holds, &event, sizeof(event)) ? (int)event.slot : -1;
}

/* -- its life -- */

EXPORT int sockmap_fill(const struct sockmap_parts *parts)
{
	int slot, failed = 0;

	for (slot = 0; !failed && slot < parts->capacity; slot++)
		failed = give_back(parts, slot);
	return failed;
}

EXPORT void sockmap_free(struct kernel *kernel)
{
	struct sockmap *map = of(kernel);

	/* It stays in `holds` as long as that: a child that was forked frees what is its own. */
	close_ring(&map->holds);
	free(map);
}

EXPORT struct kernel *sockmap_new(const struct sockmap_parts *parts, uint32_t worker)
{
	struct sockmap *map = blank(sizeof(*map));
	int failed;

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
		.capacity = parts->capacity,
	};
	map->parts = *parts;
	map->directions = parts->directions;
	map->worker = worker;
	/* A direction is held at most once per start, so that the ring never overflows. */
	failed = open_ring(&map->holds, (size_t)parts->capacity, sizeof(struct hold_event));
	map->kernel.holds_fd = map->holds.fd;
	if (!failed)
		failed = on_element(BPF_MAP_UPDATE_ELEM, parts->holds, &worker, &map->holds.fd, 0);
	if (failed) {
		sockmap_free(&map->kernel);
		errno = -failed;
		return NULL;
	}
	return &map->kernel;
}
