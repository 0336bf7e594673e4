// SPDX-License-Identifier: GPL-2.0-only
#include "conversation.h"

#include "system.h"

void begin_conversation(struct conversation *it, bool eager)
{
	it->eager = eager;
	it->needed = FEW;
	it->answers = UINT64_MAX;
	it->rest = SHORTEST_REST;
}

void note_burst(struct conversation *it, uint64_t size, uint64_t answers)
{
	if (size > SMALL) {
		it->seen = 0;
	} else if (answers != it->answers) {
		it->answers = answers;
		it->seen++;
	}
}

bool suits_redirect(const struct conversation *it)
{
	return it->eager || it->seen >= it->needed;
}

void note_started(struct conversation *it)
{
	it->started_at = now();
}

void note_held(struct conversation *it)
{
	int64_t moment = now();
	bool trusted = moment - it->started_at >= QUIET;

	it->needed = trusted ? FEW : 2 * it->needed < MANY ? 2 * it->needed : MANY;
	it->rest = trusted			 ? SHORTEST_REST
		   : 2 * it->rest < LONGEST_REST ? 2 * it->rest
						 : LONGEST_REST;
	it->rested_at = moment + it->rest;
	it->seen = 0;
}

int64_t rest_left(const struct conversation *it)
{
	int64_t left = it->rested_at ? it->rested_at - now() : 0;

	return left > 0 ? left : 0;
}
