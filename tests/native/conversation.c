// SPDX-License-Identifier: GPL-2.0-only
/* What is called a conversation, and what patience a hold costs. */
#include "conversation.h"

#include "check.h"
#include "system.h"

#include <string.h>

static struct conversation fresh(bool eager)
{
	struct conversation it;

	memset(&it, 0, sizeof(it));
	begin_conversation(&it, eager);
	return it;
}

static int small_bursts_needed(struct conversation *it)
{
	int count = 0;

	while (!suits_redirect(it))
		note_burst(it, SMALL, (uint64_t)++count);
	return count;
}

static void small_bursts_in_a_row_make_one(void)
{
	struct conversation it = fresh(false);
	uint64_t each;

	for (each = 0; each < FEW - 1; each++)
		note_burst(&it, 1, 1000 + each);
	note_burst(&it, SMALL + 1, 2000);
	CHECK(!suits_redirect(&it));
	CHECK(small_bursts_needed(&it) == FEW);
}

static void without_an_answer_between_them_they_are_a_stream(void)
{
	struct conversation it = fresh(false);
	int each;

	for (each = 0; each < 1000; each++)
		note_burst(&it, 1, 7);
	CHECK(!suits_redirect(&it));
}

static void each_hold_in_haste_doubles_what_is_asked(void)
{
	struct conversation it = fresh(false);
	int expected, each;

	for (expected = 2 * FEW; expected <= 16 * FEW; expected *= 2) {
		note_started(&it);
		note_held(&it);
		CHECK(small_bursts_needed(&it) == expected);
	}
	for (each = 0; each < 20; each++)
		note_held(&it);
	CHECK(small_bursts_needed(&it) == MANY);
	note_started(&it);
	it.started_at -= QUIET; /* as if so long had passed */
	note_held(&it);
	CHECK(small_bursts_needed(&it) == FEW);
}

static void rest_grows_and_ends(void)
{
	struct conversation it = fresh(true);
	int64_t before = 0, rest = 0;
	int each;

	CHECK(suits_redirect(&it));
	CHECK(rest_left(&it) == 0);
	for (each = 0; each < 12; each++, before = rest) {
		note_started(&it);
		note_held(&it);
		rest = it.rest;
		CHECK(rest >= before && rest_left(&it) > 0 && rest_left(&it) <= rest);
	}
	CHECK(rest == LONGEST_REST);
	it.rested_at -= LONGEST_REST;
	CHECK(rest_left(&it) == 0);
}

int main(void)
{
	small_bursts_in_a_row_make_one();
	without_an_answer_between_them_they_are_a_stream();
	each_hold_in_haste_doubles_what_is_asked();
	rest_grows_and_ends();
	return 0;
}
