/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A heap of moments.
 * Included by accept.c, channel.c, connect.c, farewell.c, hello.c, joint.c, life.c, loop.c, pair.c,
 * search.c, sweep.c, urgent.c, waits.c.
 *
 * A timer is part of its owner, who cancels it before its memory is freed.
 */
#ifndef SOCKPROXY_TIMERS_H
#define SOCKPROXY_TIMERS_H

#include "worker.h"

/* Call `call(owner)` once it is `due`. 0, or -ENOMEM. */
int set_timer(struct worker *worker, struct timer *timer, int64_t due, on_time *call, void *owner);

/* Keep places for so many timers of one owner, or (negative) no more. 0, or -ENOMEM. */
int reserve_timers(struct worker *worker, int count);

/* As set_timer(), by an owner who has reserved: it does not fail. */
void set_reserved_timer(struct worker *worker, struct timer *timer, int64_t due, on_time *call,
			void *owner);

/* Twice is allowed. */
void cancel_timer(struct worker *worker, struct timer *timer);

/* The moment of the first one; negative when there is none. */
int64_t first_due(const struct worker *worker);

/* Call those that are due. */
void run_timers(struct worker *worker);

#endif
