// SPDX-License-Identifier: GPL-2.0-only
#include "turns.h"

#include "channel.h"
#include "system.h"

#define SLICE 100000LL /* ns of turns, between looks at what has come */

static void enter(struct worker *worker, struct channel *channel, bool again)
{
	struct turn *turn = &channel->turn;
	struct channel *other;

	if (turn->asked)
		return;
	turn->asked = true;
	other = again ? worker->first_turn : worker->last_turn;
	turn->next = again ? other : NULL;
	turn->before = again ? NULL : other;
	if (turn->next)
		turn->next->turn.before = channel;
	else
		worker->last_turn = channel;
	if (turn->before)
		turn->before->turn.next = channel;
	else
		worker->first_turn = channel;
}

void ask_for_turn(struct worker *worker, struct channel *channel)
{
	enter(worker, channel, false);
}

void go_on_with_turn(struct worker *worker, struct channel *channel)
{
	channel->turn.parts = (channel->turn.parts + 1) % PARTS;
	enter(worker, channel, channel->turn.parts > 0);
}

void forget_turn(struct worker *worker, struct channel *channel)
{
	struct turn *turn = &channel->turn;

	if (!turn->asked)
		return;
	turn->asked = false;
	if (turn->next)
		turn->next->turn.before = turn->before;
	else
		worker->last_turn = turn->before;
	if (turn->before)
		turn->before->turn.next = turn->next;
	else
		worker->first_turn = turn->next;
}

bool has_turns(const struct worker *worker)
{
	return worker->first_turn;
}

void run_turns(struct worker *worker)
{
	struct channel *channel = worker->first_turn;
	int64_t end;

	if (!channel)
		return;
	for (end = now() + SLICE; channel; channel = worker->first_turn) {
		forget_turn(worker, channel);
		pump_now(worker, channel);
		if (now() >= end)
			return;
	}
}
