// SPDX-License-Identifier: GPL-2.0-only
#include "sweep.h"

#include "channel.h"
#include "joint.h"
#include "pair.h"
#include "system.h"
#include "timers.h"
#include "words.h"

#define SWEEP (SECOND / 2)

static int64_t idle_timeout_of(const struct worker *worker, const struct pair *pair)
{
	int64_t own = pair->service ? pair->service->idle_timeout : -1;

	return own < 0 ? worker->idle_timeout : own;
}

/* Whether nothing has moved, or it has lived, for too long. */
static const char *has_had_its_time(struct worker *worker, struct pair *pair, int64_t moment)
{
	int64_t idle = idle_timeout_of(worker, pair);
	int64_t life = pair->service ? pair->service->lifetime : -1;
	struct past past;
	uint64_t bytes;

	if (life >= 0 && moment - pair->born >= life)
		return words(worker, "at the end of its lifetime of %g s", (double)life / SECOND);
	if (idle < 0)
		return NULL;
	past = read_joint(worker, pair);
	bytes = moved(&pair->forward) + moved(&pair->backward) + past.forward_bytes +
		past.backward_bytes;
	if (bytes != pair->seen_moved || !pair->seen_at) {
		pair->seen_moved = bytes;
		pair->seen_at = moment;
	}
	if (moment - pair->seen_at < idle)
		return NULL;
	return words(worker, "idle for %g s", (double)idle / SECOND);
}

static void sweep(struct worker *worker, void *owner)
{
	struct pair *pair, *next;
	int64_t moment = now();
	const char *why;

	(void)owner;
	for (pair = worker->table.first; pair; pair = next) {
		next = pair->next;
		why = has_had_its_time(worker, pair, moment);
		if (why)
			abort_pair(worker, pair, why);
	}
	set_reserved_timer(worker, &worker->sweep, moment + SWEEP, sweep, NULL);
}

int begin_sweeps(struct worker *worker)
{
	if (worker->sweep.place)
		return 0;
	if (reserve_timers(worker, 1))
		return -ENOMEM;
	set_reserved_timer(worker, &worker->sweep, now() + SWEEP, sweep, NULL);
	return 0;
}
