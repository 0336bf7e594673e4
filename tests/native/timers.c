// SPDX-License-Identifier: GPL-2.0-only
/* Timers are called in their order, and one that was cancelled is not. */
#include "timers.h"

#include "check.h"
#include "system.h"

#include <string.h>

enum { MANY = 2000 };

static int64_t last;
static int called;

static void on_due(struct worker *worker, void *owner)
{
	struct timer *timer = owner;

	(void)worker;
	CHECK(timer->due >= last);
	CHECK(!timer->place);
	last = timer->due;
	called++;
}

static void *no_memory(void *old, size_t size)
{
	(void)old;
	(void)size;
	return NULL;
}

int main(void)
{
	static struct timer timers[MANY];
	struct worker worker;
	int each;

	memset(&worker, 0, sizeof(worker));
	CHECK(first_due(&worker) == -1);
	srandom(1);
	for (each = 0; each < MANY; each++)
		CHECK(!set_timer(&worker, &timers[each], random() % 1000, on_due, &timers[each]));
	for (each = 0; each < MANY; each += 3) {
		cancel_timer(&worker, &timers[each]);
		cancel_timer(&worker, &timers[each]);
	}
	for (each = 1; each < MANY; each += 3)
		CHECK(!set_timer(&worker, &timers[each], random() % 1000, on_due, &timers[each]));
	run_timers(&worker);
	CHECK(called == MANY - (MANY + 2) / 3);
	CHECK(first_due(&worker) == -1);
	CHECK(!worker.timers.others);

	/* What was reserved can be set, whatever others there are. */
	CHECK(!reserve_timers(&worker, 1));
	for (each = 1; each < MANY; each++)
		CHECK(!set_timer(&worker, &timers[each], 0, on_due, &timers[each]));
	last = 0;
	sys.realloc = no_memory;
	CHECK(reserve_timers(&worker, MANY) < 0);
	set_reserved_timer(&worker, &timers[0], INT64_MAX, on_due, &timers[0]);
	run_timers(&worker);
	CHECK(first_due(&worker) == INT64_MAX);
	free(worker.timers.heap);
	return 0;
}
