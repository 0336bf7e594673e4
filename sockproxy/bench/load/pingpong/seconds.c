// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include "pingpong.h"

#define MOST_SECONDS 3600

static uint64_t by_end_of[MOST_SECONDS];
static int seconds;

void reach(uint64_t spent, uint64_t total)
{
	while (seconds < MOST_SECONDS && spent >= (seconds + 1) * 1000000000ULL)
		by_end_of[seconds++] = total;
}

void print_seconds(void)
{
	uint64_t before = 0;
	int second;

	printf("[");
	for (second = 0; second < seconds; second++) {
		printf("%s%llu", second ? ", " : "",
		       (unsigned long long)(by_end_of[second] - before));
		before = by_end_of[second];
	}
	printf("]");
}
