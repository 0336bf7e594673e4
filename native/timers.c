// SPDX-License-Identifier: GPL-2.0-only
#include "timers.h"

#include "memory.h"
#include "system.h"

#include <errno.h>

static void put(struct timers *timers, size_t place, struct timer *timer)
{
	timers->heap[place - 1] = timer;
	timer->place = place;
}

static struct timer *at(const struct timers *timers, size_t place)
{
	return timers->heap[place - 1];
}

static void move_up(struct timers *timers, struct timer *timer)
{
	size_t place = timer->place;

	while (place > 1 && at(timers, place / 2)->due > timer->due) {
		put(timers, place, at(timers, place / 2));
		place /= 2;
	}
	put(timers, place, timer);
}

static void move_down(struct timers *timers, struct timer *timer)
{
	size_t place = timer->place, below;

	while ((below = 2 * place) <= timers->count) {
		if (below < timers->count && at(timers, below + 1)->due < at(timers, below)->due)
			below++;
		if (at(timers, below)->due >= timer->due)
			break;
		put(timers, place, at(timers, below));
		place = below;
	}
	put(timers, place, timer);
}

static int make_room(struct worker *worker, size_t wanted)
{
	struct timers *timers = &worker->timers;
	struct timer **heap = with_room(timers->heap, &timers->room, wanted, sizeof(*heap));

	if (!heap)
		return -ENOMEM;
	timers->heap = heap;
	return 0;
}

int reserve_timers(struct worker *worker, int count)
{
	struct timers *timers = &worker->timers;
	int failed = count > 0
			     ? make_room(worker, timers->others + timers->reserved + (size_t)count)
			     : 0;

	if (!failed)
		timers->reserved += (size_t)count;
	return failed;
}

static void enter(struct timers *timers, struct timer *timer, int64_t due, on_time *call,
		  void *owner)
{
	timer->due = due;
	timer->call = call;
	timer->owner = owner;
	put(timers, ++timers->count, timer);
	move_up(timers, timer);
}

int set_timer(struct worker *worker, struct timer *timer, int64_t due, on_time *call, void *owner)
{
	struct timers *timers = &worker->timers;

	cancel_timer(worker, timer);
	if (make_room(worker, timers->others + timers->reserved + 1))
		return -ENOMEM;
	timers->others++;
	timer->is_other = true;
	enter(timers, timer, due, call, owner);
	return 0;
}

void set_reserved_timer(struct worker *worker, struct timer *timer, int64_t due, on_time *call,
			void *owner)
{
	cancel_timer(worker, timer);
	enter(&worker->timers, timer, due, call, owner);
}

void cancel_timer(struct worker *worker, struct timer *timer)
{
	struct timers *timers = &worker->timers;
	struct timer *last;

	if (!timer->place)
		return;
	last = at(timers, timers->count--);
	if (last != timer) {
		put(timers, timer->place, last);
		move_up(timers, last);
		move_down(timers, last);
	}
	timer->place = 0;
	timers->others -= timer->is_other;
	timer->is_other = false;
}

int64_t first_due(const struct worker *worker)
{
	return worker->timers.count ? at(&worker->timers, 1)->due : -1;
}

void run_timers(struct worker *worker)
{
	struct timers *timers = &worker->timers;
	struct timer *first;
	int64_t moment;

	if (!timers->count)
		return;
	moment = now();
	while (timers->count && (first = at(timers, 1))->due <= moment) {
		cancel_timer(worker, first);
		first->call(worker, first->owner);
	}
}
