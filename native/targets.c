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

static struct target *target_at(struct worker *worker, const struct address *address)
{
	uint32_t each;

	for (each = 0; each < worker->targets_count; each++)
		if (is_same_address(&worker->targets[each].address, address))
			return &worker->targets[each];
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

struct target *find_target(struct worker *worker, const struct client *client, bool answering)
{
	uint32_t count = worker->targets_count, step;
	struct target *target, *silent = NULL;

	for (step = 0; step < count; step++) {
		target = &worker->targets[(worker->turn + step) % count];
		if (has_tried(client, &target->address))
			continue;
		if (!target->silent)
			return target;
		if (!silent && !answering)
			silent = target;
	}
	return silent;
}

void pass_turn(struct worker *worker, const struct target *target)
{
	worker->turn = ((uint32_t)(target - worker->targets) + 1) % worker->targets_count;
}

bool has_fallen_silent(struct worker *worker, const struct address *address, int number)
{
	struct target *target = target_at(worker, address);
	struct news *news;

	if (!target || target->silent || !is_silence(number))
		return false;
	news = tell(worker, NEWS_SILENT);
	if (!news)
		return false;
	news->upstream.far = *address;
	target->silent = true;
	return true;
}

bool is_silent(struct worker *worker, const struct address *address)
{
	struct target *target = target_at(worker, address);

	return target && target->silent;
}

EXPORT void worker_has_answered(struct worker *worker, const struct address *address)
{
	struct target *target = target_at(worker, address);

	if (target)
		target->silent = false;
}

EXPORT int worker_set_targets(struct worker *worker, const struct address *addresses,
			      uint32_t count)
{
	struct target *targets = sys.realloc(NULL, (count + !count) * sizeof(*targets)), *before;
	uint32_t each;

	if (!targets)
		return -ENOMEM;
	for (each = 0; each < count; each++) {
		before = target_at(worker, &addresses[each]);
		targets[each].address = addresses[each];
		targets[each].silent = before && before->silent;
	}
	free(worker->targets);
	worker->targets = targets;
	worker->targets_count = count;
	worker->turn = count ? worker->turn % count : 0;
	return 0;
}
