// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "pingpong.h"

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

struct way dial(struct sockaddr_storage *to, socklen_t length, uint32_t size)
{
	struct way way = {.fd = socket(to->ss_family, SOCK_STREAM, 0)};

	prepare(way.fd);
	if (connect(way.fd, (void *)to, length) && errno != EINPROGRESS)
		fail("pingpong: connect");
	watch(way.fd);
	no_delay(way.fd);
	if (write_some(way.fd, &size, sizeof(size)) != sizeof(size))
		fail("pingpong: write");
	return way;
}

void finish_stream(struct way *way)
{
	uint64_t arrived = 0;

	shutdown(way->fd, SHUT_WR);
	if (!read_number(way->fd, &arrived, sizeof(arrived)) || arrived != way->sent) {
		fprintf(stderr, "pingpong: %llu bytes sent, %llu arrived\n",
			(unsigned long long)way->sent, (unsigned long long)arrived);
		exit(1);
	}
}

/* A bypass judges a program by its earlier connections: whether it reads until there is no more.
 * Let it see some before anything is measured, of both ends: with all on one CPU a server that was
 * interrupted by its client finds the next request whenever it reads. */
static void acquaint(struct sockaddr_storage *to, socklen_t length, uint32_t size)
{
	struct way way = dial(to, length, size | ACQUAINT);
	int turn;

	for (turn = 0; turn < 32; turn++) {
		give(&way, size);
		take(&way, size);
		expect_no_more(&way);
	}
	close(way.fd);
}

void measure(const char *mode, const char *where, uint32_t size, double seconds, int streams)
{
	int crr = !strcmp(mode, "crr"), stream = !strcmp(mode, "stream");
	struct sockaddr_storage to;
	socklen_t length = parse(where, &to);
	struct way way = {.fd = -1};
	uint64_t begin, before, end, bytes = 0, beside;
	long done;

	if (!stream)
		acquaint(&to, length, size);
	begin_streams(&to, length, streams);
	beside = sent_beside(streams);
	if (!crr)
		way = dial(&to, length, stream ? STREAM : size);
	begin = end = now();
	for (done = 0; end - begin < seconds * 1e9; done++) {
		before = end;
		if (crr)
			way = dial(&to, length, size);
		give(&way, size);
		if (!stream && !take(&way, size)) {
			fprintf(stderr, "pingpong: an end in place of an answer\n");
			exit(1);
		}
		if (crr) {
			bytes += way.sent + way.received;
			close(way.fd);
		}
		if (!stream || done % 16 == 0)
			end = now();
		if (!stream)
			note(end - before);
		reach(end - begin, stream ? way.sent : (uint64_t)done + 1);
	}
	if (stream)
		finish_stream(&way);
	end = now();
	beside = sent_beside(streams) - beside;
	if (!crr)
		bytes = way.sent + way.received;
	end_streams(streams);
	printf("{\"messages\": %ld, \"bytes\": %llu, \"seconds\": %.6f, \"mean_us\": %.3f, "
	       "\"p50_us\": %.3f, \"p99_us\": %.3f, \"beside\": %llu, \"beside_in_all\": %llu, "
	       "\"each_second\": ",
	       done, (unsigned long long)bytes, (end - begin) / 1e9, (end - begin) / 1e3 / done,
	       percentile(done, 0.5), percentile(done, 0.99), (unsigned long long)beside,
	       (unsigned long long)sent_beside(streams));
	print_seconds();
	printf("}\n");
}
