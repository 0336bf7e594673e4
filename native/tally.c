// SPDX-License-Identifier: GPL-2.0-only
#include "tally.h"

#include "system.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* Upper bounds of all classes but the last, which has none. */
static const int64_t LIVES[] = {MILLISECOND,  10 * MILLISECOND, 100 * MILLISECOND,
				SECOND,	      10 * SECOND,	60 * SECOND,
				600 * SECOND, 3600 * SECOND,	86400 * SECOND};
static const uint64_t SIZES[] = {100,	   1000,      10000,	  100000,     1000000,
				 10000000, 100000000, 1000000000, 10000000000};

_Static_assert(COUNT(LIVES) + 1 == COUNT(((struct tally *)0)->lives), "a class for each bound");
_Static_assert(COUNT(SIZES) + 1 == COUNT(((struct tally *)0)->sizes), "a class for each bound");

static uint64_t bytes_of(const struct channel_stats *stats)
{
	return stats->redirected + stats->pumped + stats->past;
}

void tally_reason(struct reason *reasons, uint32_t most, uint32_t what, uint32_t state,
		  const char *why)
{
	uint32_t each;

	for (each = 0; each < most - 1 && reasons[each].count; each++)
		if (reasons[each].why == why && reasons[each].what == what &&
		    reasons[each].state == state)
			break;
	if (each == most - 1)
		reasons[each] = (struct reason){.why = "others", .count = reasons[each].count};
	else
		reasons[each] = (struct reason){what, state, why, reasons[each].count};
	reasons[each].count++;
}

void tally_ended(struct tally *tally, const struct pair_stats *stats)
{
	uint64_t bytes = bytes_of(&stats->forward) + bytes_of(&stats->backward);
	size_t life = 0, size = 0;

	while (life < COUNT(LIVES) && stats->age > LIVES[life])
		life++;
	while (size < COUNT(SIZES) && bytes > SIZES[size])
		size++;
	tally->lives[life]++;
	tally->sizes[size]++;
	tally->lived += (uint64_t)stats->age;
	tally->carried += bytes;
	tally_reason(tally->outcomes, COUNT(tally->outcomes), REASON_OUTCOME, 0, stats->outcome);
}
