/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that is blank, and arrays that grow.
 * Included by clients.c, connect.c, door.c, hosts.c, life.c, loop.c, news.c, own.c, pair.c,
 * service.c, sockmap.c, table.c, targets.c, timers.c, workers.c.
 */
#ifndef SOCKPROXY_MEMORY_H
#define SOCKPROXY_MEMORY_H

#include <stddef.h>

/* So many bytes of zero; NULL without memory. free() frees them. */
void *blank(size_t size);

/* The array with room for as many elements as are `wanted`, of `size` bytes each, and what is in it
 * kept; `room` is how many it has room for. NULL without memory: the array is as it was. */
void *with_room(void *all, size_t *room, size_t wanted, size_t size);

#endif
