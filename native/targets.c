// SPDX-License-Identifier: GPL-2.0-only
#include "targets.h"

#include "address.h"
#include "news.h"
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

static struct target *target_at(struct workers *all, const struct address *address)
{
	uint32_t each;

	for (each = 0; each < all->targets_count; each++)
		if (is_same_address(&all->targets[each].address, address))
			return &all->targets[each];
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

/* answering: of those alone that are not silent. */
static struct target *find_target(struct workers *all, const struct client *client, bool answering)
{
	uint32_t count = all->targets_count, step;
	struct target *target, *silent = NULL;

	for (step = 0; step < count; step++) {
		target = &all->targets[(all->turn + step) % count];
		if (has_tried(client, &target->address))
			continue;
		if (!target->silent)
			return target;
		if (!silent && !answering)
			silent = target;
	}
	return silent;
}

/* Whether it was none that was silent before. */
static bool note_silent(struct workers *all, const struct address *address)
{
	struct target *target = target_at(all, address);

	if (!target || target->silent)
		return false;
	target->silent = true;
	atomic_fetch_add(&all->silences, 1);
	return true;
}

static void note_answer(struct workers *all, const struct address *address)
{
	struct target *target = target_at(all, address);

	if (target)
		target->silent = false;
}

static void replace(struct workers *all, struct target *targets, uint32_t count)
{
	const struct target *before;
	uint32_t each;

	for (each = 0; each < count; each++) {
		before = target_at(all, &targets[each].address);
		targets[each].silent = before && before->silent;
	}
	free(all->targets);
	all->targets = targets;
	all->targets_count = count;
	all->turn = count ? all->turn % count : 0;
}

/* -- taking it -- */

bool take_turn(struct workers *all, const struct client *client, struct address *target)
{
	struct target *found;

	pthread_mutex_lock(&all->lock);
	found = find_target(all, client, false);
	if (found) {
		*target = found->address;
		all->turn = ((uint32_t)(found - all->targets) + 1) % all->targets_count;
	}
	pthread_mutex_unlock(&all->lock);
	return found;
}

bool has_another(struct workers *all, const struct client *client)
{
	bool has;

	pthread_mutex_lock(&all->lock);
	has = find_target(all, client, true);
	pthread_mutex_unlock(&all->lock);
	return has;
}

bool is_silent(struct workers *all, const struct address *address)
{
	struct target *target;
	bool is;

	pthread_mutex_lock(&all->lock);
	target = target_at(all, address);
	is = target && target->silent;
	pthread_mutex_unlock(&all->lock);
	return is;
}

bool has_fallen_silent(struct worker *worker, const struct address *address, int number)
{
	struct workers *all = worker->all;
	struct news *news;
	bool has;

	if (!is_silence(number) || reserve_news(worker))
		return false;
	pthread_mutex_lock(&all->lock);
	has = note_silent(all, address);
	pthread_mutex_unlock(&all->lock);
	if (!has) {
		give_up_reserved(worker);
		return false;
	}
	news = tell_reserved(worker, NEWS_SILENT);
	news->upstream.far = *address;
	return true;
}

EXPORT void worker_has_answered(struct worker *worker, const struct address *address)
{
	struct workers *all = worker->all;

	pthread_mutex_lock(&all->lock);
	note_answer(all, address);
	pthread_mutex_unlock(&all->lock);
}

EXPORT int worker_set_targets(struct worker *worker, const struct address *addresses,
			      uint32_t count)
{
	struct target *targets = sys.realloc(NULL, (count + !count) * sizeof(*targets));
	struct workers *all = worker->all;
	uint32_t each;

	if (!targets)
		return -ENOMEM;
	for (each = 0; each < count; each++)
		targets[each].address = addresses[each];
	pthread_mutex_lock(&all->lock);
	replace(all, targets, count);
	pthread_mutex_unlock(&all->lock);
	return 0;
}
