/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Arrays that grow.
 * Included by loop.c, news.c, timers.c.
 */
#ifndef SOCKPROXY_MEMORY_H
#define SOCKPROXY_MEMORY_H

#include <stddef.h>

/* The array with room for as many elements as are `wanted`, of `size` bytes each, and what is in it
 * kept; `room` is how many it has room for. NULL without memory: the array is as it was. */
void *with_room(void *all, size_t *room, size_t wanted, size_t size);

#endif
