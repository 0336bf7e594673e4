// SPDX-License-Identifier: GPL-2.0-only
/* Upstreams that are down, full, or gone, and clients that wait for a place. */
#include "places.h"

#include <errno.h>

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

static int allocations; /* that there is memory for */

static void *scarce_realloc(void *old, size_t size)
{
	return allocations-- > 0 ? realloc(old, size) : NULL;
}

/* Wherever it ends, all is as it was. */
static void without_memory_nothing_changes(void)
{
	void *(*usual)(void *, size_t) = sys.realloc;
	struct upstream given[] = {{.address = at(1), .share = 1},
				   {.address = at(5), .share = 1},
				   {.address = at(5), .share = 1},
				   {.address = at(6), .share = 1}};
	int most, failed;

	serve(BALANCE_TURNS);
	have((uint32_t[]){1, 1, 1}, 3);
	sys.realloc = scarce_realloc;
	for (most = 0;; most++) {
		allocations = most;
		failed = worker_set_targets(worker, number, given, 4);
		if (!failed)
			break;
		CHECK(failed == -ENOMEM);
		turns_are("abc");
	}
	sys.realloc = usual;
	CHECK(most == 3); /* the list, and the two that are new */
	turns_are("b");
	CHECK(pass(0, 0) == 5 && pass(0, 0) == 6);
}

int main(void)
{
	int balance;

	worker = worker_new(NULL);
	CHECK(worker);
	for (balance = BALANCE_TURNS; balance <= BALANCE_SOURCE; balance++) {
		one_that_is_down_has_none((enum balance)balance);
		a_full_one_has_no_more((enum balance)balance);
	}
	one_that_goes_and_comes_again();
	without_memory_nothing_changes();
	worker_free(worker);
	return 0;
}
