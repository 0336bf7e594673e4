// SPDX-License-Identifier: GPL-2.0-only
/* Whose turn it is: shares of clients that are exact, by weights, limits and what is out of order.
 */
#include "door.h"

#include "check.h"
#include "queue.h"
#include "service.h"
#include "targets.h"
#include "system.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 16 };

static struct worker *worker;
static uint32_t number; /* of the service that is tried now */

static struct address at(int place)
{
	return (struct address){
		.family = AF_INET, .port = (uint16_t)(1000 + place), .host = {127, 0, 0, 1}};
}

static void serve(enum balance balance)
{
	int served = worker_serve(worker, SECOND, 0, balance);

	CHECK(served >= 0);
	number = (uint32_t)served;
}

static struct service *service(void)
{
	return service_of(worker, number);
}

/* The upstreams 0 and up, of these weights. */
static void have(const uint32_t *weights, uint32_t count)
{
	struct upstream given[MOST];
	uint32_t each;

	for (each = 0; each < count; each++)
		given[each] = (struct upstream){.address = at((int)each), .share = weights[each]};
	CHECK(!worker_set_targets(worker, number, given, count));
}

/* Where a client from `host` goes, that has tried those of the bits; -1: nowhere, -2: it waits. */
static int next_place(struct client *client, uint32_t host, unsigned tried)
{
	struct address address;
	int place;

	memset(client, 0, sizeof(*client));
	client->attempt.service = service();
	client->ends.far = (struct address){.family = AF_INET};
	memcpy(client->ends.far.host, &host, sizeof(host));
	client->tried = client->tried_inside;
	for (place = 0; place < MOST; place++)
		if (tried & 1U << place)
			client->tried[client->tried_count++] = at(place);
	switch (take_turn(worker, client, &address)) {
	case HAS_PLACE:
		return address.port - 1000;
	case NO_PLACE:
		return -1;
	default:
		return -2;
	}
}

static void leave(struct client *client)
{
	leave_target(worker->all, service(), client->at);
}

/* It comes and goes. */
static int pass(uint32_t host, unsigned tried)
{
	struct client client;
	int place = next_place(&client, host, tried);

	if (place >= 0)
		leave(&client);
	return place;
}

static void turns_are(const char *places)
{
	for (; *places; places++)
		CHECK(pass(0, 0) == *places - 'a');
}

static void turns_are_spread(void)
{
	serve(BALANCE_TURNS);
	have((uint32_t[]){1, 1, 1}, 3);
	turns_are("abcabc");
	serve(BALANCE_TURNS);
	have((uint32_t[]){5, 1, 1}, 3);
	turns_are("abaacaaabaacaa");
	serve(BALANCE_TURNS);
	have((uint32_t[]){3, 2}, 2);
	turns_are("ababaababa");
}

/* In each round that has as many turns as there are shares, each has exactly its own; and at no
 * time is one ahead or behind by more than one turn. */
static void turns_are_exact(void)
{
	uint32_t weights[MOST], count, each, all, turn, got[MOST];
	int64_t lag;
	int round;

	for (round = 0; round < 300; round++) {
		serve(BALANCE_TURNS);
		count = 1 + (uint32_t)random() % MOST;
		for (each = all = 0; each < count; each++)
			all += weights[each] = (uint32_t)random() % (random() % 2 ? 256 : 4);
		have(weights, count);
		memset(got, 0, sizeof(got));
		for (turn = 1; turn <= 2 * all; turn++) {
			got[pass(0, 0)]++;
			for (each = 0; each < count; each++) {
				lag = (int64_t)turn * weights[each] - (int64_t)got[each] * all;
				CHECK(lag > -(int64_t)all && lag < (int64_t)all);
				CHECK(turn % all || !lag);
			}
		}
		CHECK(all || pass(0, 0) == -1);
	}
}

/* The first is a's turn, though it refuses: those that serve keep their order. */
static void one_that_refuses_skews_nothing(void)
{
	int turn, first, place, got[3] = {0};

	serve(BALANCE_TURNS);
	have((uint32_t[]){1, 1, 1}, 3);
	for (turn = 0; turn < 30; turn++) {
		place = pass(0, 0);
		CHECK((place ? place : pass(0, 1)) == 1 + turn % 2);
	}
	serve(BALANCE_TURNS);
	have((uint32_t[]){200, 3, 1}, 3);
	for (turn = 0; turn < 400; turn++) {
		first = pass(0, 0);
		got[first ? first : pass(0, 1)]++;
	}
	CHECK(got[1] == 300 && got[2] == 100);
	/* It answers again: it does not have all that it has missed. */
	for (turn = first = 0; turn < 204; turn++)
		first += pass(0, 0) == 0;
	CHECK(first >= 198 && first <= 202);
}

/* Its turn comes at once when it answers again, and it does not have those that it has missed. */
static void one_that_was_out_is_one_of_them(void)
{
	struct address address = at(0);
	int turn, got[3];

	serve(BALANCE_TURNS);
	have((uint32_t[]){1, 1, 1}, 3);
	CHECK(pass(0, 0) == 0);
	service()->targets[0]->silent = true;
	for (turn = 0; turn < 50; turn++)
		CHECK(pass(0, 0) == 1 + turn % 2);
	CHECK(pass(0, 6) == 0); /* it is tried by one who has no other */
	CHECK(pass(0, 0) == 1);
	worker_has_answered(worker, number, &address);
	for (turn = 0; turn < 30; turn++) {
		if (turn % 3 == 0)
			memset(got, 0, sizeof(got));
		got[pass(0, 0)]++;
		CHECK(turn % 3 < 2 || (got[0] == 1 && got[1] == 1 && got[2] == 1));
	}
}

static void weights_change_under_way(void)
{
	int turn, got[2] = {0};

	serve(BALANCE_TURNS);
	have((uint32_t[]){65536, 65536}, 2);
	turns_are("aba");
	have((uint32_t[]){1, 1}, 2);
	for (turn = 0; turn < 10; turn++)
		got[pass(0, 0)]++;
	CHECK(got[0] >= 4 && got[0] <= 6);
	have((uint32_t[]){0, 1}, 2);
	turns_are("bbbb");
	have((uint32_t[]){0, 0}, 2);
	CHECK(pass(0, 0) == -1);
	have((uint32_t[]){1, 3}, 2);
	memset(got, 0, sizeof(got));
	for (turn = 0; turn < 400; turn++)
		got[pass(0, 0)]++;
	CHECK(got[0] >= 99 && got[0] <= 101);
}

static void the_fewest_clients_for_its_weight(void)
{
	struct client clients[120];
	int each, place, got[3] = {0};

	serve(BALANCE_LEAST);
	have((uint32_t[]){1, 2, 3}, 3);
	for (each = 0; each < 120; each++)
		got[next_place(&clients[each], 0, 0)]++;
	CHECK(got[0] == 20 && got[1] == 40 && got[2] == 60);
	for (each = 0; each < 120; each++) /* all of b go: the next 40 are b's */
		if (clients[each].at == service()->targets[1])
			leave(&clients[each]);
	for (each = 0; each < 38; each++) {
		place = next_place(&clients[0], 0, 0);
		CHECK(place == 1);
	}
}

/* A weight that changes moves clients from that one, or to it, and no others; in proportion. */
static void hosts_stay_where_they_are(void)
{
	enum { HOSTS = 20000 };
	static int before[HOSTS];
	int each, place, got[4] = {0}, more = 0;

	serve(BALANCE_SOURCE);
	have((uint32_t[]){256, 256, 256, 256}, 4);
	for (each = 0; each < HOSTS; each++)
		got[before[each] = pass((uint32_t)each, 0)]++;
	for (each = 0; each < 4; each++)
		CHECK(got[each] > HOSTS * 24 / 100 && got[each] < HOSTS * 26 / 100);
	have((uint32_t[]){256, 256, 768, 256}, 4);
	memset(got, 0, sizeof(got));
	for (each = 0; each < HOSTS; each++) {
		place = pass((uint32_t)each, 0);
		CHECK(place == before[each] || place == 2);
		more += place != before[each];
		got[place]++;
	}
	CHECK(got[2] > HOSTS * 48 / 100 && got[2] < HOSTS * 52 / 100 && more > HOSTS / 5);
	have((uint32_t[]){256, 256, 25, 256}, 4);
	memset(got, 0, sizeof(got));
	for (each = 0; each < HOSTS; each++) {
		place = pass((uint32_t)each, 0);
		CHECK(place == before[each] || before[each] == 2);
		got[place]++;
	}
	CHECK(got[2] > HOSTS * 2 / 100 && got[2] < HOSTS * 5 / 100);
	have((uint32_t[]){256, 256, 0, 256}, 4);
	for (each = 0; each < HOSTS; each++) {
		place = pass((uint32_t)each, 0);
		CHECK(place == before[each] || (before[each] == 2 && place != 2));
	}
}

/* Given as they are, and not by weight alone. */
static void have_these(struct upstream one, struct upstream other)
{
	struct upstream given[] = {one, other};

	given[0].address = at(0);
	given[1].address = at(1);
	CHECK(!worker_set_targets(worker, number, given, 2));
}

static void one_that_is_down_has_none(enum balance balance)
{
	struct upstream up = {.share = 1}, down = {.share = 1, .down = 1}, drained = {.down = 1};
	struct address address = at(1);
	int each, got[2] = {0};

	serve(balance);
	have_these(down, up);
	for (each = 0; each < 10; each++)
		CHECK(pass((uint32_t)each, 0) == 1);
	CHECK(pass(0, 2) == -1); /* it is down, and another is not */
	service()->targets[1]->silent = true;
	CHECK(pass(0, 0) == 1); /* still the one that is up */
	worker_has_answered(worker, number, &address);
	have_these(down, down);
	for (each = 0; each < 100; each++)
		got[pass((uint32_t)each, 0)]++;
	CHECK(got[0] > 20 && got[1] > 20); /* none is up: all are tried all the same */
	have_these(drained, down);
	CHECK(pass(0, 0) == 1 && pass(0, 2) == -1);
}

static void a_full_one_has_no_more(enum balance balance)
{
	struct upstream few = {.share = 5, .most = 2}, one = {.share = 1, .most = 1};
	struct client clients[3], first, second, third;
	uint32_t waiting;
	struct upstream_stats stats[2];
	int each, got[2] = {0};

	serve(balance);
	have_these(few, one);
	for (each = 0; each < 3; each++)
		got[next_place(&clients[each], (uint32_t)each, 0)]++;
	CHECK(got[0] == 2 && got[1] == 1);
	CHECK(next_place(&first, 7, 1) == -2); /* it has tried a, and waits for b alone */
	CHECK(next_place(&second, 8, 0) == -2);
	CHECK(next_place(&third, 9, 0) == -2);
	CHECK(worker_read_targets(worker, number, stats, 2, &waiting) == 2 && waiting == 3);
	CHECK(stats[0].clients == 2 && stats[1].clients == 1 && stats[0].chosen == 2);
	for (each = 0; each < 3; each++) { /* one of a goes: the second client has its place */
		if (clients[each].at != service()->targets[0])
			continue;
		leave(&clients[each]);
		break;
	}
	CHECK(!first.at && second.at == service()->targets[0] && !third.at);
	CHECK(next_placed(worker) == &second && !next_placed(worker));
	leave_queue(worker->all, &third); /* it has gone, or waited for too long */
	for (each = 0; each < 3; each++)
		if (clients[each].at == service()->targets[1])
			leave(&clients[each]);
	CHECK(first.at == service()->targets[1]);
	leave_queue(worker->all, &first);
	CHECK(!next_placed(worker));
	CHECK(next_place(&third, 9, 0) == -2);
	have_these((struct upstream){.share = 5}, one); /* a may have as many as come */
	CHECK(third.at == service()->targets[0] && next_placed(worker) == &third);
	CHECK(pass(0, 0) == 0);
}

/* It keeps its clients, and is known by them when it comes again. */
static void one_that_goes_and_comes_again(void)
{
	struct upstream few = {.share = 1, .most = 1}, given = {.address = at(1), .share = 1};
	struct upstream twice[] = {given, given};
	struct upstream_stats stats[3];
	struct client client;
	uint32_t waiting;

	serve(BALANCE_TURNS);
	have_these(few, few);
	CHECK(next_place(&client, 0, 0) == 0);
	CHECK(!worker_set_targets(worker, number, twice, 2));
	CHECK(worker_read_targets(worker, number, stats, 3, &waiting) == 2);
	CHECK(!stats[0].gone && stats[1].gone && stats[1].clients == 1);
	have_these(few, few);
	CHECK(worker_read_targets(worker, number, stats, 3, &waiting) == 2);
	CHECK(stats[0].clients == 1);
	CHECK(next_place(&client, 0, 1) == 1);
	CHECK(next_place(&client, 0, 0) == -2);
	leave_queue(worker->all, &client);
}

int main(void)
{
	enum balance balance;

	srandom(1);
	worker = worker_new(NULL);
	CHECK(worker);
	turns_are_spread();
	turns_are_exact();
	one_that_refuses_skews_nothing();
	one_that_was_out_is_one_of_them();
	weights_change_under_way();
	the_fewest_clients_for_its_weight();
	hosts_stay_where_they_are();
	for (balance = BALANCE_TURNS; balance <= BALANCE_SOURCE; balance++) {
		one_that_is_down_has_none(balance);
		a_full_one_has_no_more(balance);
	}
	one_that_goes_and_comes_again();
	worker_free(worker);
	return 0;
}
