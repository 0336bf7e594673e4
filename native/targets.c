// SPDX-License-Identifier: GPL-2.0-only
#include "targets.h"

#include "address.h"
#include "news.h"
#include "service.h"
#include "system.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Nobody has answered. Other errors say something else: a refusal is an answer, and cheap;
 * EADDRNOTAVAIL and the like are about this host. */
static bool is_silence(int number)
{
	return number == FAILURE_TIME_OUT || number == ETIMEDOUT || number == EHOSTUNREACH ||
	       number == ENETUNREACH || number == EHOSTDOWN || number == ENETDOWN;
}

/* -- under the lock -- */

static struct target *target_at(struct service *service, const struct address *address)
{
	uint32_t each;

	for (each = 0; each < service->targets_count; each++)
		if (is_same_address(&service->targets[each].address, address))
			return &service->targets[each];
	return NULL;
}

static bool has_tried(const struct client *client, const struct address *address)
{
	uint32_t each;

	for (each = 0; each < client->tried_count; each++)
		if (is_same_address(&client->tried[each], address))
			return true;
	return false;
}

/* FNV-1a, finished so that the last bytes count in all bits. */
static uint32_t hash(uint32_t hash, const void *bytes, size_t size)
{
	const unsigned char *byte = bytes;

	while (size--)
		hash = (hash ^ *byte++) * 16777619U;
	return (hash ^ hash >> 15) * 2246822519U;
}

/* By rendezvous: when a target goes, only its clients go elsewhere. */
static uint32_t attraction(const struct client *client, const struct target *target)
{
	struct address from = plain_address(&client->ends.far);
	uint32_t seed = hash(2166136261U, from.host, sizeof(from.host));

	seed = hash(seed, target->address.host, sizeof(target->address.host));
	return hash(seed, &target->address.port, sizeof(target->address.port));
}

/* Of two that follow each other in turn. */
static bool is_better(const struct client *client, const struct target *one,
		      const struct target *than)
{
	if (one->silent != than->silent)
		return than->silent;
	switch (client->attempt.service->balance) {
	case BALANCE_LEAST:
		return one->load < than->load;
	case BALANCE_SOURCE:
		return attraction(client, one) > attraction(client, than);
	default:
		return false;
	}
}

/* answering: of those alone that are not silent. */
static struct target *find_target(const struct client *client, bool answering)
{
	struct service *service = client->attempt.service;
	uint32_t count = service->targets_count, step;
	struct target *target, *best = NULL;

	for (step = 0; step < count; step++) {
		target = &service->targets[(service->turn + step) % count];
		if (has_tried(client, &target->address) || (answering && target->silent))
			continue;
		if (!best || is_better(client, target, best))
			best = target;
	}
	return best;
}

/* Whether it was none that was silent before. */
static bool note_silent(struct service *service, const struct address *address)
{
	struct target *target = target_at(service, address);

	if (!target || target->silent)
		return false;
	target->silent = true;
	return true;
}

static void note_answer(struct service *service, const struct address *address)
{
	struct target *target = target_at(service, address);

	if (target)
		target->silent = false;
}

static void replace(struct service *service, struct target *targets, uint32_t count)
{
	const struct target *before;
	uint32_t each;

	for (each = 0; each < count; each++) {
		before = target_at(service, &targets[each].address);
		targets[each].silent = before && before->silent;
		targets[each].load = before ? before->load : 0;
	}
	free(service->targets);
	service->targets = targets;
	service->targets_count = count;
	service->turn = count ? service->turn % count : 0;
}

/* -- taking it -- */

bool take_turn(struct workers *all, struct client *client, struct address *target)
{
	struct service *service = client->attempt.service;
	struct target *found;

	pthread_mutex_lock(&all->lock);
	found = find_target(client, false);
	if (found) {
		*target = found->address;
		service->turn = ((uint32_t)(found - service->targets) + 1) % service->targets_count;
		client->counted = service->balance == BALANCE_LEAST;
		found->load += client->counted;
	}
	pthread_mutex_unlock(&all->lock);
	return found;
}

void leave_target(struct workers *all, struct service *service, const struct address *address)
{
	struct target *target;

	pthread_mutex_lock(&all->lock);
	target = target_at(service, address);
	if (target && target->load) /* it may have gone, and come again */
		target->load--;
	pthread_mutex_unlock(&all->lock);
}

bool has_another(struct workers *all, const struct client *client)
{
	bool has;

	pthread_mutex_lock(&all->lock);
	has = find_target(client, true);
	pthread_mutex_unlock(&all->lock);
	return has;
}

bool is_silent(struct workers *all, const struct attempt *attempt)
{
	struct target *target;
	bool is;

	pthread_mutex_lock(&all->lock);
	target = target_at(attempt->service, &attempt->target);
	is = target && target->silent;
	pthread_mutex_unlock(&all->lock);
	return is;
}

bool has_fallen_silent(struct worker *worker, const struct attempt *attempt, int number)
{
	struct workers *all = worker->all;
	struct news *news;
	bool has;

	if (attempt->service->original || !is_silence(number) || reserve_news(worker))
		return false;
	pthread_mutex_lock(&all->lock);
	has = note_silent(attempt->service, &attempt->target);
	pthread_mutex_unlock(&all->lock);
	if (!has) {
		give_up_reserved(worker);
		return false;
	}
	atomic_fetch_add(&all->silences, 1);
	news = tell_reserved(worker, NEWS_SILENT);
	news->service = attempt->service->number;
	news->upstream.far = attempt->target;
	return true;
}

EXPORT void worker_has_answered(struct worker *worker, uint32_t service,
				const struct address *address)
{
	struct workers *all = worker->all;

	if (!service_of(worker, service))
		return;
	pthread_mutex_lock(&all->lock);
	note_answer(service_of(worker, service), address);
	pthread_mutex_unlock(&all->lock);
}

EXPORT int worker_set_targets(struct worker *worker, uint32_t service,
			      const struct address *addresses, uint32_t count)
{
	struct target *targets = sys.realloc(NULL, (count + !count) * sizeof(*targets));
	struct workers *all = worker->all;
	uint32_t each;

	if (!targets)
		return -ENOMEM;
	if (!service_of(worker, service)) {
		free(targets);
		return -EINVAL;
	}
	for (each = 0; each < count; each++)
		targets[each].address = addresses[each];
	pthread_mutex_lock(&all->lock);
	replace(service_of(worker, service), targets, count);
	pthread_mutex_unlock(&all->lock);
	return 0;
}
