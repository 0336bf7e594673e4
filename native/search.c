// SPDX-License-Identifier: GPL-2.0-only
#include "search.h"

#include "address.h"
#include "clients.h"
#include "connect.h"
#include "departure.h"
#include "own.h"
#include "queue.h"
#include "system.h"
#include "targets.h"
#include "timers.h"
#include "workers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void try_next(struct worker *worker, struct client *client, int number);

static int note_tried(struct client *client, const struct address *address)
{
	uint32_t room = 2 * client->tried_room;
	struct address *all;

	if (client->tried_count == client->tried_room) {
		all = sys.realloc(NULL, room * sizeof(*all));
		if (!all)
			return -ENOMEM;
		memcpy(all, client->tried, client->tried_count * sizeof(*all));
		if (client->tried != client->tried_inside)
			free(client->tried);
		client->tried = all;
		client->tried_room = room;
	}
	client->tried[client->tried_count++] = *address;
	return 0;
}

/* Those who wait for an upstream that is passed over now go to another. Each has its next attempt
 * here, by which it alone can end; where one finds another silent, all are looked at once more. */
static void leave_silent(struct worker *worker)
{
	struct client *client, *next;

	if (worker->leaving) {
		worker->leave_again = true;
		return;
	}
	worker->leaving = true;
	do {
		worker->leave_again = false;
		for (client = worker->connecting; client; client = next) {
			next = client->next;
			if (client->attempt.fd < 0 || !is_silent(worker->all, &client->attempt) ||
			    !has_another(worker->all, client))
				continue;
			cancel_attempt(worker, &client->attempt);
			leave(worker, client);
			try_next(worker, client, 0);
		}
	} while (worker->leave_again);
	worker->leaving = false;
}

void look_for_silent(struct worker *worker)
{
	uint32_t silences = atomic_load(&worker->all->silences);

	if (worker->seen_silences == silences)
		return;
	worker->seen_silences = silences;
	leave_silent(worker);
}

static void on_outcome(struct worker *worker, struct attempt *attempt, int number)
{
	struct client *client =
		(struct client *)((char *)attempt - offsetof(struct client, attempt));
	bool silent;

	if (!number) {
		/* Another worker may have accepted it before it was noted as our own. */
		if (comes_back(worker->all, client->fd, &client->ends))
			refuse(worker, client, REJECTED_OWN, 0);
		else
			pair_client(worker, client);
		return;
	}
	silent = has_fallen_silent(worker, attempt, number);
	leave(worker, client);
	if (is_shortage(number)) /* there will be none for another one either */
		refuse(worker, client, REJECTED_FAILED, number);
	else
		try_next(worker, client, number);
	if (silent) {
		wake_others(worker);
		look_for_silent(worker);
	}
}

static void connect_client(struct worker *worker, struct client *client,
			   const struct address *address)
{
	client->attempt.target = *address;
	if (note_tried(client, address))
		refuse(worker, client, REJECTED_FAILED, ENOMEM);
	else
		begin_attempt(worker, &client->attempt, address, on_outcome);
}

/* Its target stays as long as it has clients. */
static void connect_placed_client(struct worker *worker, struct client *client)
{
	struct address address = client->at->address;

	connect_client(worker, client, &address);
}

/* It may have been given a place at this moment, by another worker. */
static void on_waited(struct worker *worker, void *owner)
{
	struct client *client = owner;

	leave_queue(worker->all, client);
	if (client->at)
		connect_placed_client(worker, client);
	else
		refuse(worker, client, REJECTED_FULL, 0);
}

/* It has joined the queue. */
static void wait_for_place(struct worker *worker, struct client *client)
{
	struct attempt *attempt = &client->attempt;

	if (set_timer(worker, &attempt->timer, now() + attempt->service->timeout, on_waited,
		      client))
		refuse(worker, client, REJECTED_FAILED, ENOMEM);
}

void connect_placed(struct worker *worker)
{
	struct client *client;

	while ((client = next_placed(worker))) {
		cancel_timer(worker, &client->attempt.timer);
		connect_placed_client(worker, client);
	}
}

static void try_original(struct worker *worker, struct client *client, int number)
{
	struct address address;

	if (client->tried_count)
		refuse(worker, client, REJECTED_FAILED, number);
	else if (!read_original(client->fd, &client->ends.near, &address))
		refuse(worker, client, REJECTED_NOT_MEANT, 0);
	else
		connect_client(worker, client, &address);
}

/* number: what the attempt before has failed with; 0: there was none that counts. */
static void try_next(struct worker *worker, struct client *client, int number)
{
	struct address address;

	if (client->attempt.service->original) {
		try_original(worker, client, number);
		return;
	}
	switch (take_turn(worker, client, &address)) {
	case HAS_PLACE:
		connect_client(worker, client, &address);
		break;
	case WAITS_FOR_PLACE:
		wait_for_place(worker, client);
		break;
	case NO_PLACE:
		refuse(worker, client, client->tried_count ? REJECTED_FAILED : REJECTED_NO_TARGET,
		       number);
	}
}

void begin_search(struct worker *worker, struct client *client)
{
	try_next(worker, client, 0);
}
