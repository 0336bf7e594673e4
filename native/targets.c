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

/* Mixed, so that the last bytes count in all bits. */
static uint32_t mix(uint32_t hash, const void *bytes, size_t size)
{
	hash = hash_bytes(hash, bytes, size);
	return (hash ^ hash >> 15) * 2246822519U;
}

/* By rendezvous: when a target goes, only its clients go elsewhere. */
static uint32_t attraction(const struct client *client, const struct target *target)
{
	struct address from = plain_address(&client->said.far);
	uint32_t hash = mix(HASH_OF_NOTHING, from.host, sizeof(from.host));

	hash = mix(hash, target->address.host, sizeof(target->address.host));
	return mix(hash, &target->address.port, sizeof(target->address.port));
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

/* Any that has clients, also where it is gone. */
static struct target *loaded_at(struct service *service, const struct address *address)
{
	uint32_t each;

	for (each = 0; each < service->targets_count + service->gone_count; each++)
		if (service->targets[each].load &&
		    is_same_address(&service->targets[each].address, address))
			return &service->targets[each];
	return NULL;
}

/* targets: has room for those that there are now as well. */
static void replace(struct service *service, struct target *targets, uint32_t count)
{
	uint32_t each, before = service->targets_count + service->gone_count, gone = 0;
	struct target *old = service->targets, *known;

	for (each = 0; each < count; each++) {
		known = target_at(service, &targets[each].address);
		targets[each].silent = known && known->silent;
		known = loaded_at(service, &targets[each].address);
		targets[each].load = known ? known->load : 0;
		if (known)
			known->load = 0; /* it has been taken along */
	}
	for (each = 0; each < before; each++)
		if (old[each].load)
			targets[count + gone++] = old[each];
	service->targets = targets;
	service->targets_count = count;
	service->gone_count = gone;
	service->turn = count ? service->turn % count : 0;
	free(old);
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
	struct target *target, *gone;

	pthread_mutex_lock(&all->lock);
	target = loaded_at(service, address);
	gone = service->targets + service->targets_count;
	if (target && !--target->load && target >= gone)
		*target = gone[--service->gone_count];
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

EXPORT int worker_set_targets(struct worker *worker, uint32_t number,
			      const struct address *addresses, uint32_t count)
{
	struct service *service = service_of(worker, number);
	struct workers *all = worker->all;
	struct target *targets;
	uint32_t each, room;

	if (!service)
		return -EINVAL;
	pthread_mutex_lock(&all->lock);
	room = count + service->targets_count + service->gone_count;
	targets = sys.realloc(NULL, (room + !room) * sizeof(*targets));
	if (targets) {
		for (each = 0; each < count; each++)
			targets[each].address = addresses[each];
		replace(service, targets, count);
	}
	pthread_mutex_unlock(&all->lock);
	return targets ? 0 : -ENOMEM;
}
