// SPDX-License-Identifier: GPL-2.0-only
#include "pingpong.h"

#define BUCKETS 4096 /* 64 for each power of two of nanoseconds */

static long histogram[BUCKETS];

void note(uint64_t spent)
{
	int power = spent < 64 ? 0 : 63 - __builtin_clzll(spent) - 5;
	int bucket = power * 64 + (power ? (spent >> power) : spent);

	histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

double percentile(long count, double share)
{
	long wanted = count * share, seen = 0;
	int bucket;

	for (bucket = 0; bucket < BUCKETS; bucket++) {
		seen += histogram[bucket];
		if (seen > wanted)
			break;
	}
	return (double)((uint64_t)(bucket % 64) << (bucket / 64)) / 1e3;
}
