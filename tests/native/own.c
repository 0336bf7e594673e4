// SPDX-License-Identifier: GPL-2.0-only
/* The worker's own connections, known by where they come from and where they go. */
#include "own.h"

#include "address.h"
#include "check.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static struct address at(uint8_t last, uint16_t port)
{
	return (struct address){.family = AF_INET, .port = port, .host = {127, 0, 0, last}};
}

static struct address mapped(uint8_t last, uint16_t port)
{
	return (struct address){
		.family = AF_INET6,
		.port = port,
		.host = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = last},
	};
}

static bool comes(struct workers *all, struct address from, struct address to)
{
	struct two_addresses ends = {.near = to, .far = from};

	return comes_back(all, -1, &ends); /* no socket: it was not redirected */
}

static void a_port_is_anothers_before_the_end_of_the_first_is_told(struct workers *all)
{
	struct address near = at(1, 1000), far = at(1, 80);
	uint32_t first = add_own(all, &near, &far), second = add_own(all, &near, &far);

	CHECK(first && second && first != second);
	drop_own(all, first);
	CHECK(comes(all, near, far));
	CHECK(comes(all, mapped(1, 1000), mapped(1, 80)));
	CHECK(!comes(all, near, at(1, 81)));
	CHECK(!comes(all, at(1, 1001), far));
	drop_own(all, second);
	CHECK(!comes(all, near, far));
}

static void to_connect_anywhere_is_to_connect_here(struct workers *all)
{
	struct address near = at(1, 1000), far = {.family = AF_INET, .port = 80};
	uint32_t number = add_own(all, &near, &far);

	CHECK(comes(all, near, at(1, 80)));
	drop_own(all, number);
}

static void many_come_and_go(struct workers *all)
{
	enum { MANY = 5000 };
	static uint32_t numbers[MANY];
	struct address far = at(2, 80), near;
	int turn, each;

	for (turn = 0; turn < 3; turn++) {
		for (each = 0; each < MANY; each++) {
			near = at((uint8_t)(1 + each % 3), (uint16_t)(1 + each));
			numbers[each] = add_own(all, &near, &far);
			CHECK(numbers[each]);
		}
		CHECK(all->own.room <= 8192);
		for (each = 0; each < MANY; each += 2)
			drop_own(all, numbers[each]);
		for (each = 0; each < MANY; each++)
			CHECK(comes(all, at((uint8_t)(1 + each % 3), (uint16_t)(1 + each)), far) ==
			      each % 2);
		for (each = 1; each < MANY; each += 2)
			drop_own(all, numbers[each]);
	}
	CHECK(!comes(all, at(1, 1), far));
}

int main(void)
{
	struct workers all;

	memset(&all, 0, sizeof(all));
	pthread_mutex_init(&all.lock, NULL);
	CHECK(!comes(&all, at(1, 1), at(1, 80)));
	a_port_is_anothers_before_the_end_of_the_first_is_told(&all);
	to_connect_anywhere_is_to_connect_here(&all);
	many_come_and_go(&all);
	free(all.own.all);
	free(all.own.hashed);
	return 0;
}
