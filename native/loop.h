/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One thread that waits for descriptors and moments: epoll, and a heap of timers.
 * Included by accept.c, connect.c, hello.c, life.c, pair.c, urgent.c, workers.c.
 *
 * A descriptor has one watcher. An event that epoll told before it was unwatched is dropped by its
 * generation: the number may be another descriptor's by then.
 */
#ifndef SOCKPROXY_LOOP_H
#define SOCKPROXY_LOOP_H

#include "worker.h"

/* Call `handler(owner)` at each of the descriptor's `events`. 0, or a negative errno. */
int watch(struct worker *worker, int fd, uint32_t events, on_events *handler, void *owner);

/* The descriptor is about to be closed, and epoll forgets it by itself. Twice is allowed. */
void forget_watch(struct worker *worker, int fd);

/* Twice is allowed. */
void unwatch(struct worker *worker, int fd);

#endif
