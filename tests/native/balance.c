// SPDX-License-Identifier: GPL-2.0-only
/* Whose turn it is: shares of clients that are exact, by weights, and by what is out of order. */
#include "places.h"

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

int main(void)
{
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
	worker_free(worker);
	return 0;
}
