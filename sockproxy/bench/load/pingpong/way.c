// SPDX-License-Identifier: GPL-2.0-only
/*
 * The byte at position p of either direction is pattern[p % PERIOD]. The pattern is random and
 * its length a prime, so that what is lost, repeated or exchanged does not fit.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "pingpong.h"

#define PERIOD 1048573

static unsigned char pattern[PERIOD + MOST], buffer[MOST];

void make_pattern(void)
{
	uint64_t state = 88172645463325252ULL; /* Marsaglia, "Xorshift RNGs", 2003 */
	size_t i;

	for (i = 0; i < PERIOD; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		pattern[i] = state >> 24;
	}
	for (; i < sizeof(pattern); i++)
		pattern[i] = pattern[i - PERIOD];
}

void give(struct way *way, size_t size)
{
	while (size) {
		ssize_t put = write_some(way->fd, pattern + way->sent % PERIOD, size);

		if (put <= 0)
			fail("pingpong: write");
		way->sent += put;
		size -= put;
	}
}

size_t take_some(struct way *way, size_t size)
{
	ssize_t got = read_some(way->fd, buffer, size);

	if (got < 0)
		fail("pingpong: read");
	if (memcmp(buffer, pattern + way->received % PERIOD, got)) {
		fprintf(stderr, "pingpong: a wrong byte after %llu\n",
			(unsigned long long)way->received);
		give_up();
	}
	way->received += got;
	return got;
}

int take(struct way *way, size_t size)
{
	size_t rest = size;

	while (rest) {
		size_t got = take_some(way, rest);

		if (!got && rest == size)
			return 0;
		if (!got) {
			fprintf(stderr, "pingpong: an end in the middle of a message\n");
			give_up();
		}
		rest -= got;
	}
	return 1;
}

void expect_no_more(struct way *way)
{
	if (!waits_in_epoll() || read(way->fd, buffer, 1) < 0)
		return;
	fprintf(stderr, "pingpong: more than a message, or its end\n");
	give_up();
}

/* Without MSG_WAITALL, for which a bypass would leave the connection to TCP. */
int read_number(int fd, void *to, size_t size)
{
	size_t have = 0;
	ssize_t got;

	while (have < size && (got = read_some(fd, (char *)to + have, size - have)) > 0)
		have += got;
	return have == size;
}
