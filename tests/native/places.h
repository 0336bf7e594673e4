/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Clients that ask for a place at an upstream, without a connection.
 * Included by balance.c, limits.c.
 */
#ifndef PLACES_H
#define PLACES_H

#include "check.h"
#include "door.h"
#include "queue.h"
#include "service.h"
#include "system.h"
#include "targets.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 16 };

static struct worker *worker;
static uint32_t number; /* of the service that is tried now */

static inline struct address at(int place)
{
	return (struct address){
		.family = AF_INET, .port = (uint16_t)(1000 + place), .host = {127, 0, 0, 1}};
}

static inline void serve(enum balance balance)
{
	int served = worker_serve(worker, SECOND, 0, balance);

	CHECK(served >= 0);
	number = (uint32_t)served;
}

static inline struct service *service(void)
{
	return service_of(worker, number);
}

/* The upstreams 0 and up, of these weights. */
static inline void have(const uint32_t *weights, uint32_t count)
{
	struct upstream given[MOST];
	uint32_t each;

	for (each = 0; each < count; each++)
		given[each] = (struct upstream){.address = at((int)each), .share = weights[each]};
	CHECK(!worker_set_targets(worker, number, given, count));
}

/* Where a client from `host` goes, that has tried those of the bits; -1: nowhere, -2: it waits. */
static inline int next_place(struct client *client, uint32_t host, unsigned tried)
{
	struct address address;
	int place;

	memset(client, 0, sizeof(*client));
	client->attempt.service = service();
	client->said.far = (struct address){.family = AF_INET};
	memcpy(client->said.far.host, &host, sizeof(host));
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

static inline void leave(struct client *client)
{
	leave_target(worker->all, service(), client->at);
}

/* It comes and goes. */
static inline int pass(uint32_t host, unsigned tried)
{
	struct client client;
	int place = next_place(&client, host, tried);

	if (place >= 0)
		leave(&client);
	return place;
}

static inline void turns_are(const char *places)
{
	for (; *places; places++)
		CHECK(pass(0, 0) == *places - 'a');
}

#endif
