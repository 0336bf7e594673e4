// SPDX-License-Identifier: GPL-2.0-only
#include "farewell.h"

#include "channel.h"
#include "failure.h"
#include "pair.h"
#include "sockets.h"
#include "system.h"
#include "timers.h"
#include "words.h"

#define PATIENCE (60 * SECOND) /* without an acknowledgement; tcp_fin_timeout's default */
#define FIRST_WAIT (MILLISECOND / 2)
#define LONGEST_WAIT (250 * MILLISECOND) /* between looks; a delayed ACK takes 40 */

void begin_farewell(struct pair *pair, struct channel *last)
{
	pair->farewell.last = last;
	pair->farewell.wait = FIRST_WAIT;
	pair->farewell.seen_left = -1;
}

static void look_again(struct worker *worker, void *owner)
{
	struct pair *pair = owner;
	int64_t *wait = &pair->farewell.wait;

	*wait = 2 * *wait < LONGEST_WAIT ? 2 * *wait : LONGEST_WAIT;
	look_at_farewell(worker, pair);
}

void look_at_farewell(struct worker *worker, struct pair *pair)
{
	struct farewell *farewell = &pair->farewell;
	struct channel *last = farewell->last;
	/* What was sent to a Unix socket is there. */
	int left = last->target->is_unix ? 0 : unacknowledged(last->target->fd);
	uint64_t bytes = moved(last);
	int64_t moment = now();

	if (bytes != farewell->seen_moved || left != farewell->seen_left) {
		farewell->seen_moved = bytes;
		farewell->seen_left = left;
		farewell->deadline = moment + PATIENCE;
	}
	if ((state_of(last) == STATE_FINISHED && left <= 0) || moment >= farewell->deadline)
		end_pair(worker, pair, outcome_of(worker, last->source), true);
	else if (!farewell->timer.place)
		set_reserved_timer(worker, &farewell->timer, moment + farewell->wait, look_again,
				   pair);
}
