// SPDX-License-Identifier: GPL-2.0-only
#include "waits.h"

#include "sockets.h"
#include "system.h"
#include "timers.h"

#include <sched.h>

#define FIRST_WAIT (MILLISECOND / 2) /* between looks at a draining backlog */
#define LONGEST_WAIT (50 * MILLISECOND)
#define YIELDS 8 /* looks in a row before that; epoll's shortest wait is a millisecond */

void begin_waits(struct waits *waits)
{
	start_waits_anew(waits);
}

void start_waits_anew(struct waits *waits)
{
	waits->wait = FIRST_WAIT;
	waits->yields = YIELDS;
}

void wait_for(struct worker *worker, struct channel *channel, int64_t time, on_time *call)
{
	set_reserved_timer(worker, &channel->waits.timer, now() + time, call, channel);
}

void wait_again(struct worker *worker, struct channel *channel, on_time *call)
{
	struct waits *waits = &channel->waits;

	if (waits->yields) {
		/* Most backlogs are one skb that a kworker is about to send: let it. */
		waits->yields--;
		sched_yield();
		wait_for(worker, channel, 0, call);
		return;
	}
	wait_for(worker, channel, waits->wait, call);
	waits->wait = 2 * waits->wait < LONGEST_WAIT ? 2 * waits->wait : LONGEST_WAIT;
}

void wait_behind_backlog(struct worker *worker, struct channel *channel, on_time *call)
{
	if (channel->waits.yields || has_space(channel->target->fd)) {
		wait_again(worker, channel, call);
		return;
	}
	channel->waits.for_space |= SPACE_FOR_BACKLOG;
}

uint32_t take_space_calls(struct waits *waits)
{
	uint32_t calls = waits->for_space;

	if (calls)
		waits->wait = FIRST_WAIT;
	waits->for_space = 0;
	return calls;
}

void stop_waits(struct worker *worker, struct waits *waits)
{
	cancel_timer(worker, &waits->timer);
	waits->for_space = 0;
}
