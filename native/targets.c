// SPDX-License-Identifier: GPL-2.0-only
#include "targets.h"

#include "address.h"
#include "balance.h"
#include "memory.h"
#include "news.h"
#include "queue.h"
#include "service.h"
#include "system.h"

#include <errno.h>
#include <stdlib.h>

#define LARGEST_SHARE 65536 /* so that sums and products of balance.c have room */

/* Nobody has answered. Other errors say something else: a refusal is an answer, and cheap;
 * EADDRNOTAVAIL and the like are about this host. */
static bool is_silence(int number)
{
	return number == FAILURE_TIME_OUT || number == ETIMEDOUT || number == EHOSTUNREACH ||
	       number == ENETUNREACH || number == EHOSTDOWN || number == ENETDOWN;
}

/* -- under the lock -- */

/* count: of the first ones. */
static struct target *find_at(struct target *const *targets, uint32_t count,
			      const struct address *address)
{
	uint32_t each;

	for (each = 0; each < count; each++)
		if (is_same_address(&targets[each]->address, address))
			return targets[each];
	return NULL;
}

static struct target *target_at(const struct service *service, const struct address *address)
{
	return find_at(service->targets, service->targets_count, address);
}

/* Also one that is gone. */
static struct target *known_at(const struct service *service, const struct address *address)
{
	return find_at(service->targets, service->targets_count + service->gone_count, address);
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
	hand_places(service);
}

/* -- taking it -- */

enum place take_turn(struct worker *worker, struct client *client, struct address *address)
{
	struct workers *all = worker->all;
	enum place place = HAS_PLACE;
	struct target *found;

	pthread_mutex_lock(&all->lock);
	found = take_target(client);
	if (found) {
		*address = found->address;
		take_place_at(client, found);
	} else if (may_wait(client)) {
		join_queue(worker, client);
		place = WAITS_FOR_PLACE;
	} else {
		place = NO_PLACE;
	}
	pthread_mutex_unlock(&all->lock);
	return place;
}

void leave_target(struct workers *all, struct service *service, struct target *target)
{
	pthread_mutex_lock(&all->lock);
	target->load--;
	if (service->waiting.first)
		hand_places(service);
	pthread_mutex_unlock(&all->lock);
}

bool has_another(struct workers *all, const struct client *client)
{
	bool has;

	pthread_mutex_lock(&all->lock);
	has = has_answering(client);
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

/* -- others -- */

/* For each that is given the one that is known, or a new one. False, and none is new, without
 * memory. */
static bool find_or_make(const struct service *service, const struct upstream *given,
			 uint32_t count, struct target **into)
{
	uint32_t each;

	for (each = 0; each < count; each++) {
		/* Most often they are the same ones in the same order. */
		if (each < service->targets_count &&
		    is_same_address(&service->targets[each]->address, &given[each].address)) {
			into[each] = service->targets[each];
			continue;
		}
		into[each] = known_at(service, &given[each].address);
		if (!into[each])
			into[each] = find_at(into, each, &given[each].address);
		if (into[each])
			continue;
		into[each] = blank(sizeof(*into[each]));
		if (!into[each])
			break;
		into[each]->address = given[each].address;
		into[each]->gone = true; /* as yet */
	}
	if (each == count)
		return true;
	while (each--)
		if (!known_at(service, &into[each]->address) &&
		    !find_at(into, each, &into[each]->address))
			free(into[each]);
	return false;
}

/* targets: as find_or_make() has them, with room for those that there are now as well. */
static void replace(struct service *service, struct target **targets, const struct upstream *given,
		    uint32_t count)
{
	uint32_t each, before = service->targets_count + service->gone_count, kept = 0, gone = 0;
	struct target **old = service->targets, *target;

	for (each = 0; each < before; each++)
		old[each]->gone = true;
	for (each = 0; each < count; each++) {
		target = targets[each];
		target->share = given[each].share;
		target->most = given[each].most;
		target->down = given[each].down;
		if (target->gone) /* else it was given twice */
			targets[kept++] = target;
		target->gone = false;
	}
	for (each = 0; each < before; each++) {
		if (!old[each]->gone)
			continue;
		old[each]->silent = false; /* nobody looks after it any more */
		if (old[each]->load)
			targets[kept + gone++] = old[each];
		else
			free(old[each]);
	}
	service->targets = targets;
	service->targets_count = kept;
	service->gone_count = gone;
	service->turn = kept ? service->turn % kept : 0;
	free(old);
}

EXPORT int worker_set_targets(struct worker *worker, uint32_t number, const struct upstream *given,
			      uint32_t count)
{
	struct service *service = service_of(worker, number);
	struct workers *all = worker->all;
	struct target **targets;
	uint32_t room, each;
	bool done;

	for (each = 0; each < count; each++)
		if (given[each].share > LARGEST_SHARE)
			return -EINVAL;
	if (!service)
		return -EINVAL;
	pthread_mutex_lock(&all->lock);
	room = count + service->targets_count + service->gone_count;
	targets = sys.realloc(NULL, (room + !room) * sizeof(*targets));
	done = targets && find_or_make(service, given, count, targets);
	if (done) {
		replace(service, targets, given, count);
		hand_places(service);
	} else {
		free(targets);
	}
	pthread_mutex_unlock(&all->lock);
	return done ? 0 : -ENOMEM;
}

EXPORT uint32_t worker_read_targets(struct worker *worker, uint32_t number,
				    struct upstream_stats *into, uint32_t most, uint32_t *waiting)
{
	struct service *service = service_of(worker, number);
	uint32_t each, count;

	pthread_mutex_lock(&worker->all->lock);
	count = service->targets_count + service->gone_count;
	*waiting = service->waiting.count;
	for (each = 0; each < count && each < most; each++)
		into[each] = (struct upstream_stats){
			.address = service->targets[each]->address,
			.chosen = service->targets[each]->chosen,
			.clients = service->targets[each]->load,
			.gone = service->targets[each]->gone,
		};
	pthread_mutex_unlock(&worker->all->lock);
	return count;
}
