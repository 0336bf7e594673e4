// SPDX-License-Identifier: GPL-2.0-only
#include "balance.h"

#include "address.h"

/* Those of one kind, of a service: clients are shared out among them. */
struct pool {
	const struct client *client;
	bool panic;    /* those that are down as well */
	bool silent;   /* those where nobody answers, or those that answer */
	uint32_t from; /* the hash of who comes: of BALANCE_SOURCE */
};

static bool has_tried(const struct client *client, const struct address *address)
{
	uint32_t each;

	for (each = 0; each < client->tried_count; each++)
		if (is_same_address(&client->tried[each], address))
			return true;
	return false;
}

static bool is_full(const struct target *target)
{
	return target->most && target->load >= target->most;
}

static bool is_of(const struct pool *pool, const struct target *target)
{
	return target->share && (pool->panic || !target->down) && target->silent == pool->silent;
}

static bool has_place(const struct pool *pool, const struct target *target)
{
	return is_of(pool, target) && !is_full(target);
}

static bool may_take(const struct pool *pool, const struct target *target)
{
	return has_place(pool, target) && !has_tried(pool->client, &target->address);
}

/* -- one after another -- */

/* A target's credit is its lag behind its share: each turn gives it as much as its share, and one
 * that is its own takes as much as all shares. It is due when it lags at all; of those that are due
 * the one is next whose following turn comes first (WF2Q, by Bennett and Zhang). So turns are
 * spread as evenly as whole turns can be: 5, 1, 1 is a b a a c a a. */

static int64_t all_shares(const struct pool *pool)
{
	const struct service *service = pool->client->attempt.service;
	int64_t sum = 0;
	uint32_t each;

	for (each = 0; each < service->targets_count; each++)
		if (has_place(pool, service->targets[each]))
			sum += service->targets[each]->share;
	return sum;
}

/* One that was left out for long, or whose share was another, is ahead or behind by one turn. */
static int64_t within(int64_t credit, int64_t all)
{
	return credit > all ? all : credit < -all ? -all : credit;
}

/* So many turns go by until one that may have this client is due; -1: there is none. */
static int64_t turns_until_due(const struct pool *pool)
{
	const struct service *service = pool->client->attempt.service;
	int64_t turns, least = -1;
	const struct target *target;
	uint32_t each;

	for (each = 0; each < service->targets_count; each++) {
		target = service->targets[each];
		if (!may_take(pool, target))
			continue;
		turns = target->credit < 0 ? (target->share - 1 - target->credit) / target->share
					   : 0;
		if (least < 0 || turns < least)
			least = turns;
	}
	return least;
}

/* Of one that is left out meanwhile: it pays what it owes, and is owed nothing. */
static int64_t outside(const struct target *target, int64_t turns)
{
	int64_t credit = target->credit + turns * target->share;

	return credit > 0 ? 0 : credit;
}

static void pass_turns(const struct pool *pool, int64_t turns, int64_t all)
{
	struct service *service = pool->client->attempt.service;
	struct target *target;
	uint32_t each;

	for (each = 0; each < service->targets_count; each++) {
		target = service->targets[each];
		if (has_place(pool, target))
			target->credit = within(target->credit, all) + turns * target->share;
		else if (!pool->silent)
			target->credit = outside(target, turns);
	}
}

static struct target *take_in_turn(const struct pool *pool)
{
	struct service *service = pool->client->attempt.service;
	struct target *target, *best = NULL;
	int64_t all = all_shares(pool), turns;
	uint32_t each;

	pass_turns(pool, 0, all);
	turns = turns_until_due(pool);
	if (turns < 0)
		return NULL;
	if (turns) {
		pass_turns(pool, turns, all);
		pass_turns(pool, 0, all);
	}
	for (each = 0; each < service->targets_count; each++) {
		target = service->targets[each];
		if (target->credit < 0 || !may_take(pool, target))
			continue;
		if (!best ||
		    (all - target->credit) * best->share < (all - best->credit) * target->share)
			best = target;
	}
	pass_turns(pool, 1, all);
	best->credit -= all;
	return best;
}

/* -- the fewest clients, or the same for each host -- */

/* Mixed, so that the last bytes count in all bits. */
static uint32_t mix(uint32_t hash, const void *bytes, size_t size)
{
	hash = hash_bytes(hash, bytes, size);
	return (hash ^ hash >> 15) * 2246822519U;
}

static uint32_t attraction(const struct pool *pool, const struct target *target)
{
	const struct address *address = &target->address;
	uint32_t hash = mix(pool->from, address->host, sizeof(address->host));

	/* As a port a Unix socket has the number of its path, which may be another at the next
	 * start; its host is the path's hash. */
	if (address->family == AF_UNIX)
		return mix(hash, "", 1);
	return mix(hash, &address->port, sizeof(address->port));
}

#define BITS 20

/* -log2(attraction / 2^32), in units of 2^-BITS: bit by bit, by squaring. */
static uint64_t reluctance(uint32_t attraction)
{
	uint64_t value = (uint64_t)attraction + 1;
	int whole = 63 - __builtin_clzll(value), bit;
	uint64_t log = (uint64_t)whole << BITS;

	value = value << (63 - whole) >> 32; /* from 1 to 2, in units of 2^-31 */
	for (bit = BITS - 1; bit >= 0; bit--) {
		value = value * value >> 31;
		if (value >> 32) {
			value >>= 1;
			log |= 1ULL << bit;
		}
	}
	return (32ULL << BITS) - log;
}

/* By rendezvous: when a target goes, or its share is another, only its own clients go elsewhere, or
 * others come to it. Among n targets with attractions u the one with the least -log(u) / share wins
 * in proportion to its share; of equal shares that is the greatest u. */
static bool attracts_more(const struct pool *pool, const struct target *one,
			  const struct target *than)
{
	uint32_t its = attraction(pool, one), others = attraction(pool, than);

	if (one->share == than->share)
		return its > others;
	return reluctance(its) * than->share < reluctance(others) * one->share;
}

/* Of two that follow each other in turn. A client more, for its share. */
static bool is_better(const struct pool *pool, const struct target *one, const struct target *than)
{
	if (pool->client->attempt.service->balance == BALANCE_SOURCE)
		return attracts_more(pool, one, than);
	return ((uint64_t)one->load + 1) * than->share < ((uint64_t)than->load + 1) * one->share;
}

static struct target *take_best(struct pool *pool)
{
	struct service *service = pool->client->attempt.service;
	struct address from = plain_address(&pool->client->said.far);
	uint32_t count = service->targets_count, step, place, best = count;

	pool->from = mix(HASH_OF_NOTHING, from.host, sizeof(from.host));
	for (step = 0; step < count; step++) {
		place = (service->turn + step) % count;
		if (!may_take(pool, service->targets[place]))
			continue;
		if (best == count ||
		    is_better(pool, service->targets[place], service->targets[best]))
			best = place;
	}
	if (best == count)
		return NULL;
	service->turn = (best + 1) % count;
	return service->targets[best];
}

/* -- what others ask for -- */

static struct target *take_from(struct pool *pool)
{
	return pool->client->attempt.service->balance == BALANCE_TURNS ? take_in_turn(pool)
								       : take_best(pool);
}

/* Of one whose targets are down, but for those that take no clients, all are tried all the same. */
static struct pool pool_of(const struct client *client)
{
	const struct service *service = client->attempt.service;
	struct pool pool = {.client = client, .panic = true};
	uint32_t each;

	for (each = 0; each < service->targets_count && pool.panic; each++)
		pool.panic = !service->targets[each]->share || service->targets[each]->down;
	return pool;
}

static bool has_full(const struct pool *pool)
{
	const struct service *service = pool->client->attempt.service;
	uint32_t each;

	for (each = 0; each < service->targets_count; each++)
		if (is_of(pool, service->targets[each]) && is_full(service->targets[each]) &&
		    !has_tried(pool->client, &service->targets[each]->address))
			return true;
	return false;
}

struct target *take_target(const struct client *client)
{
	struct pool pool = pool_of(client);
	struct target *found = take_from(&pool);

	if (found || has_full(&pool))
		return found;
	pool.silent = true;
	return take_from(&pool);
}

bool may_wait(const struct client *client)
{
	struct pool pool = pool_of(client);

	if (has_full(&pool))
		return true;
	pool.silent = true;
	return has_full(&pool);
}

bool has_answering(const struct client *client)
{
	const struct service *service = client->attempt.service;
	struct pool pool = pool_of(client);
	uint32_t each;

	for (each = 0; each < service->targets_count; each++)
		if (may_take(&pool, service->targets[each]))
			return true;
	return false;
}
