/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the workers of one proxy have in common: limits, options, targets, connections of their own.
 * Included by arrivals.c, door.c, loop.c, queue.c, search.c.
 *
 * Each is run by a thread of its own. They are made before any of them runs, and freed when none
 * does. One that has something for another to look at wakes it: a worker that is awake looks before
 * it sleeps, so that this takes a system call only where it does sleep.
 */
#ifndef SOCKPROXY_WORKERS_H
#define SOCKPROXY_WORKERS_H

#include "worker.h"

/* Be one more beside `mate`, or, with NULL, the first. 0, or -ENOMEM. */
int join_workers(struct worker *worker, struct worker *mate);

/* Whoever has a mate can be woken from now on. 0, or a negative errno. */
int open_bells(struct worker *worker);

/* The last one frees what they had in common. */
void leave_workers(struct worker *worker);

/* Have it look, from another thread. */
void wake(struct worker *worker);
void wake_others(struct worker *worker);

/* Before it looks for events: whether it may sleep over that. And after it. */
bool falls_asleep(struct worker *worker);
void wakes_up(struct worker *worker);

/* Whether it was woken since it was asked last. */
bool is_woken(struct worker *worker);

#endif
