// SPDX-License-Identifier: GPL-2.0-only
#include "loop.h"

#include "arrivals.h"
#include "memory.h"
#include "news.h"
#include "system.h"
#include "table.h"
#include "timers.h"
#include "turns.h"
#include "workers.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define EVENTS 256 /* told by epoll at once */

static struct watch *watch_of(struct worker *worker, int fd)
{
	return fd >= 0 && (size_t)fd < worker->watches_room ? &worker->watches[fd] : NULL;
}

/* Have a place for the descriptor. */
static int make_room(struct worker *worker, int fd)
{
	size_t before = worker->watches_room;
	struct watch *all =
		with_room(worker->watches, &worker->watches_room, (size_t)fd + 1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	memset(all + before, 0, (worker->watches_room - before) * sizeof(*all));
	worker->watches = all;
	return 0;
}

static int watch_as(struct worker *worker, int fd, uint32_t events, struct watch as)
{
	struct epoll_event asked = {.events = events};
	struct watch *place;
	int failed;

	if (fd < 0)
		return -EBADF;
	failed = make_room(worker, fd);
	if (failed)
		return failed;
	place = &worker->watches[fd];
	as.generation = place->generation + 1;
	as.used = true;
	asked.data.u64 = (uint64_t)as.generation << 32 | (uint32_t)fd;
	if (sys.epoll_ctl(worker->epoll, EPOLL_CTL_ADD, fd, &asked))
		return -errno;
	*place = as;
	return 0;
}

int watch(struct worker *worker, int fd, uint32_t events, on_events *handler, void *owner)
{
	return watch_as(worker, fd, events, (struct watch){.handler = handler, .owner = owner});
}

EXPORT int worker_watch(struct worker *worker, int fd, uint32_t events, uint64_t number)
{
	return watch_as(worker, fd, events, (struct watch){.number = number});
}

void forget_watch(struct worker *worker, int fd)
{
	struct watch *place = watch_of(worker, fd);

	if (!place || !place->used)
		return;
	place->used = false;
	place->generation++;
}

void unwatch(struct worker *worker, int fd)
{
	struct watch *place = watch_of(worker, fd);

	if (!place || !place->used)
		return;
	forget_watch(worker, fd);
	sys.epoll_ctl(worker->epoll, EPOLL_CTL_DEL, fd, NULL);
}

EXPORT void worker_unwatch(struct worker *worker, int fd)
{
	unwatch(worker, fd);
}

/* Who watches, if it is still who did when epoll told the event. */
static struct watch *watcher(struct worker *worker, const struct epoll_event *event)
{
	struct watch *place = watch_of(worker, (int)(uint32_t)event->data.u64);

	return place && place->used && place->generation == event->data.u64 >> 32 ? place : NULL;
}

/* First the reader's, for which room was made before epoll was asked: an edge is told once. */
static void dispatch(struct worker *worker, const struct epoll_event *events, int count)
{
	struct watch *place;
	struct news *news;
	int each;

	for (each = 0; each < count; each++) {
		place = watcher(worker, &events[each]);
		if (!place || place->handler)
			continue;
		news = tell(worker, NEWS_READY);
		news->number = place->number;
		news->events = events[each].events;
	}
	for (each = 0; each < count; each++) {
		place = watcher(worker, &events[each]);
		if (place && place->handler)
			place->handler(worker, place->owner, events[each].events);
	}
}

/* Milliseconds that epoll may wait, rounded up, so that what is due then is due; -1: for ever. */
static int patience(struct worker *worker, int64_t until)
{
	int64_t due = first_due(worker), left;

	if (worker->news.count || has_turns(worker))
		return 0;
	if (due < 0 || (until >= 0 && until < due))
		due = until;
	if (due < 0)
		return -1;
	left = due - now();
	if (left <= 0)
		return 0;
	left = (left + MILLISECOND - 1) / MILLISECOND;
	return left < INT_MAX ? (int)left : INT_MAX;
}

EXPORT uint32_t worker_run(struct worker *worker, int64_t most_wait, struct news *into,
			   uint32_t most)
{
	int64_t until = most_wait < 0 ? -1 : most_wait ? now() + most_wait : 0;
	struct epoll_event events[EVENTS];
	int room, count, wait;

	/* Of a descriptor that is told of once more before that was read it would be told twice. */
	if (worker->news.count)
		return take_news(worker, into, most);
	do {
		bury(worker);
		for (room = EVENTS; room && have_room_for_news(worker, room); room /= 2)
			;
		if (!room)
			break; /* no memory: what has come makes room when it is read */
		wait = patience(worker, until);
		if (wait && !falls_asleep(worker))
			wait = 0;
		count = sys.epoll_wait(worker->epoll, events, room, wait);
		wakes_up(worker);
		if (count < 0)
			break; /* a signal: whoever called may have something to do */
		dispatch(worker, events, count);
		look_around(worker);
		run_timers(worker);
		run_turns(worker);
	} while (!worker->news.count && (until < 0 || (until && now() < until)));
	return take_news(worker, into, most);
}
