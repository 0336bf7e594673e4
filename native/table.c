// SPDX-License-Identifier: GPL-2.0-only
#include "table.h"

#include "abi/splice.h"
#include "channel.h"
#include "departure.h"
#include "joint.h"
#include "memory.h"
#include "news.h"
#include "shared.h"
#include "system.h"
#include "tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 64 /* a power of two, as all are */

/* -- adding and taking -- */

static struct pair **head_of(const struct table *table, uint64_t number)
{
	return &table->hashed[number & (table->room - 1)];
}

static int make_room(struct table *table)
{
	uint32_t room = table->room ? 2 * table->room : FIRST_ROOM;
	struct pair **hashed, *pair;

	if (table->count < table->room)
		return 0;
	hashed = blank(room * sizeof(*hashed));
	if (!hashed)
		return -ENOMEM;
	free(table->hashed);
	table->hashed = hashed;
	table->room = room;
	for (pair = table->first; pair; pair = pair->next) {
		pair->hashed = *head_of(table, pair->number);
		*head_of(table, pair->number) = pair;
	}
	return 0;
}

int add_to_table(struct worker *worker, struct pair *pair)
{
	struct table *table = &worker->table;
	int failed = make_room(table);

	if (failed)
		return failed;
	pair->number = atomic_fetch_add(&worker->all->last_number, 1) + 1;
	pair->born = now();
	pair->hashed = *head_of(table, pair->number);
	*head_of(table, pair->number) = pair;
	pthread_mutex_lock(&table->lock);
	pair->link = table->end;
	*table->end = pair;
	table->end = &pair->next;
	table->count++;
	pthread_mutex_unlock(&table->lock);
	return 0;
}

struct pair *find_pair(const struct worker *worker, uint64_t number)
{
	const struct table *table = &worker->table;
	struct pair *pair = table->room ? *head_of(table, number) : NULL;

	while (pair && pair->number != number)
		pair = pair->hashed;
	return pair;
}

static void unhash(struct table *table, struct pair *pair)
{
	struct pair **link = head_of(table, pair->number);

	while (*link != pair)
		link = &(*link)->hashed;
	*link = pair->hashed;
}

/* -- reading -- */

static struct channel_stats stats_of_channel(const struct channel *channel)
{
	uintptr_t phase = atomic_load_explicit(&channel->phase, memory_order_acquire);
	struct channel_stats stats = {
		.state = state_in(phase),
		.why = why_in(phase),
		.pumped = atomic_load_explicit(&channel->pump.pumped, memory_order_relaxed),
		.dropped = atomic_load_explicit(&channel->pump.discarded, memory_order_relaxed),
	};
	const struct direction *kernel = channel->shared;

	if (!kernel)
		return stats;
	stats.redirected = LOAD(kernel->redirected_bytes);
	stats.redirected_skbs = LOAD(kernel->redirected_skbs);
	stats.passed = LOAD(kernel->passed_bytes);
	stats.passed_skbs = LOAD(kernel->passed_skbs);
	stats.dropped += LOAD(kernel->dropped_bytes);
	stats.dropped_skbs = LOAD(kernel->dropped_skbs);
	stats.lost = LOAD(kernel->lost_bytes);
	stats.holds = LOAD(kernel->holds);
	stats.largest_backlog = LOAD(kernel->backlog);
	return stats;
}

static struct pair_stats stats_of(struct worker *worker, struct pair *pair)
{
	struct past past = read_joint(worker, pair);
	struct pair_stats stats = {
		.number = pair->number,
		.service = pair->service ? pair->service->number : 0,
		.client = pair->client_is,
		.upstream = pair->upstream_is,
		.age = now() - pair->born,
		.connecting = pair->came ? pair->born - pair->came : 0,
		.outcome = pair->outcome,
		.why_not_past = why_not_past(pair),
		.forward = stats_of_channel(&pair->forward),
		.backward = stats_of_channel(&pair->backward),
	};

	stats.forward.past = past.forward_bytes;
	stats.forward.past_messages = past.forward_messages;
	stats.backward.past = past.backward_bytes;
	stats.backward.past_messages = past.backward_messages;
	return stats;
}

EXPORT uint32_t worker_read(struct worker *worker, struct totals *ended, struct pair_stats *into,
			    uint32_t most)
{
	struct table *table = &worker->table;
	struct pair *pair;
	uint32_t count = 0;

	pthread_mutex_lock(&table->lock);
	*ended = table->ended;
	for (pair = table->first; pair && count < most; pair = pair->next)
		into[count++] = stats_of(worker, pair);
	count = table->count;
	pthread_mutex_unlock(&table->lock);
	return count;
}

static void add_up(struct totals *sum, const struct channel_stats *stats)
{
	sum->redirected += stats->redirected;
	sum->pumped += stats->pumped;
	sum->dropped += stats->dropped;
	sum->holds += stats->holds;
	sum->past += stats->past;
}

EXPORT void worker_sum(struct worker *worker, struct totals *ended, struct totals *live)
{
	struct table *table = &worker->table;
	struct pair_stats stats;
	struct pair *pair;

	memset(live, 0, sizeof(*live));
	pthread_mutex_lock(&table->lock);
	*ended = table->ended;
	for (pair = table->first; pair; pair = pair->next) {
		stats = stats_of(worker, pair);
		add_up(live, &stats.forward);
		add_up(live, &stats.backward);
		live->pairs++;
	}
	pthread_mutex_unlock(&table->lock);
}

static void tally_channel(struct reason *reasons, uint32_t most, uint32_t what,
			  const struct channel *channel)
{
	uintptr_t phase = atomic_load_explicit(&channel->phase, memory_order_acquire);

	tally_reason(reasons, most, what, state_in(phase), why_in(phase));
}

EXPORT void worker_tally(struct worker *worker, struct tally *ended, struct reason *live,
			 uint32_t most)
{
	struct table *table = &worker->table;
	struct pair *pair;

	memset(live, 0, most * sizeof(*live));
	pthread_mutex_lock(&table->lock);
	*ended = table->tally;
	for (pair = table->first; pair; pair = pair->next) {
		tally_channel(live, most, REASON_FORWARD, &pair->forward);
		tally_channel(live, most, REASON_BACKWARD, &pair->backward);
		tally_reason(live, most, REASON_PAST, 0, why_not_past(pair));
	}
	pthread_mutex_unlock(&table->lock);
}

EXPORT int worker_stats(struct worker *worker, uint64_t number, struct pair_stats *into)
{
	struct pair *pair = find_pair(worker, number);

	if (!pair)
		return -ESRCH;
	*into = stats_of(worker, pair);
	return 0;
}

EXPORT uint32_t worker_live(const struct worker *worker)
{
	return worker->table.count;
}

/* -- the end -- */

void take_from_table(struct worker *worker, struct pair *pair, const char *outcome)
{
	struct table *table = &worker->table;

	pair->outcome = outcome;
	pair->last = stats_of(worker, pair);
	add_up(&table->ended, &pair->last.forward);
	add_up(&table->ended, &pair->last.backward);
	tally_ended(&table->tally, &pair->last);
	table->ended.pairs++;
	table->ended.reset += outcome != worker->finished;
	*pair->link = pair->next;
	if (pair->next)
		pair->next->link = pair->link;
	else
		table->end = pair->link;
	table->count--;
	unhash(table, pair);
}

void tell_ended(struct worker *worker, struct pair *pair)
{
	struct news *news;

	if (worker->interest & INTEREST_ENDED) {
		news = tell_reserved(worker, NEWS_ENDED);
		news->number = pair->number;
		news->stats = &pair->last;
		pair->next = worker->untold;
		worker->untold = pair;
	} else {
		give_up_reserved(worker);
		pair->next = worker->dead;
		worker->dead = pair;
	}
	if (pair->came)
		client_of_pair_has_gone(worker, pair);
}

static void free_list(struct pair **list)
{
	struct pair *pair;

	while ((pair = *list)) {
		*list = pair->next;
		free(pair);
	}
}

/* Their news are taken, and read, before the loop runs again. */
void bury(struct worker *worker)
{
	free_list(&worker->dead);
	if (!worker->news.count)
		free_list(&worker->untold);
}
