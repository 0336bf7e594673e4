// SPDX-License-Identifier: GPL-2.0-only
#include "clients.h"

#include "accept.h"
#include "address.h"
#include "admission.h"
#include "arrivals.h"
#include "connect.h"
#include "departure.h"
#include "hello.h"
#include "memory.h"
#include "news.h"
#include "own.h"
#include "pair.h"
#include "proxy_protocol.h"
#include "system.h"
#include "targets.h"
#include "workers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void try_next(struct worker *worker, struct client *client, int number);

struct client *new_client(struct worker *worker)
{
	struct client *client = blank(sizeof(*client));

	if (client && !reserve_news(worker)) {
		client->attempt.fd = -1;
		client->tried = client->tried_inside;
		client->tried_room = TRIED_INSIDE;
		return client;
	}
	free(client);
	return NULL;
}

void free_client(struct client *client)
{
	if (client->tried != client->tried_inside)
		free(client->tried);
	free(client);
}

/* It is a connection from now on, unless there is no memory for one. */
static void hand_over(struct worker *worker, struct client *client)
{
	struct beginning from = {
		.client = client->fd,
		.client_is = client->said,
		.upstream_is = {.near = client->attempt.near, .far = client->attempt.target},
		.own = client->attempt.own,
		.came = client->came,
		.service = client->attempt.service,
		.host = client->host,
	};
	unsigned char preface[LONGEST_PREFACE];
	int failed;

	if (client->introduced)
		from.why_not_past = "the client's PROXY header was not passed on";
	if (client->attempt.service->preface) {
		from.ahead[0] = preface;
		from.ahead_size[0] =
			write_preface(client->attempt.service->preface, &client->said, preface);
		from.why_not_past = "the upstream was told first who the client is";
	}
	from.upstream = take_socket(&client->attempt);
	if (!begin_pair(worker, &from, &failed)) {
		drop_own(worker->all, from.own);
		sys.close(from.upstream);
		refuse(worker, client, REJECTED_FAILED, -failed);
		return;
	}
	give_up_reserved(worker);
	unlink_client(client);
	free_client(client);
}

/* -- one upstream after the other -- */

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
			hand_over(worker, client);
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

/* number: what the attempt before has failed with; 0: there was none that counts. */
static void try_next(struct worker *worker, struct client *client, int number)
{
	bool original = client->attempt.service->original;
	struct workers *all = worker->all;
	struct address address;

	if (original && !client->tried_count) {
		if (!read_original(client->fd, &client->ends.near, &address)) {
			refuse(worker, client, REJECTED_NOT_MEANT, 0);
			return;
		}
	} else if (original || !take_turn(all, client, &address)) {
		refuse(worker, client, REJECTED_FAILED, number);
		return;
	}
	client->attempt.target = address;
	if (note_tried(client, &address))
		refuse(worker, client, REJECTED_FAILED, ENOMEM);
	else
		begin_attempt(worker, &client->attempt, &address, on_outcome);
}

/* -- what is to be known first -- */

static void on_name(struct worker *worker, struct client *client, enum rejection why, int number,
		    const char *what)
{
	if (!why && client->attempt.service->only_routes)
		why = REJECTED_UNROUTED;
	if (why)
		refuse_with(worker, client, why, number, what);
	else
		try_next(worker, client, 0);
}

static void on_header(struct worker *worker, struct client *client, enum rejection why, int number,
		      const char *what)
{
	if (!why) {
		why = admit(worker->all, client);
		number = why == REJECTED_FAILED ? ENOMEM : 0;
	}
	if (why)
		refuse_with(worker, client, why, number, what);
	else
		hear_name(worker, client, on_name);
}

void serve_client(struct worker *worker, struct client *client)
{
	client->next = worker->connecting;
	client->link = &worker->connecting;
	if (client->next)
		client->next->link = &client->next;
	worker->connecting = client;
	if (comes_back(worker->all, client->fd, &client->ends))
		refuse(worker, client, REJECTED_OWN, 0); /* it would come again, for ever */
	else
		hear_header(worker, client, on_header);
}

EXPORT uint32_t worker_clients(const struct worker *worker)
{
	return atomic_load(&worker->all->clients);
}

EXPORT uint64_t worker_refused(const struct worker *worker)
{
	return atomic_load(&worker->all->refused);
}

EXPORT void worker_close_clients(struct worker *worker)
{
	struct client *client;

	while ((client = worker->connecting)) {
		close_client(worker, client);
		give_up_reserved(worker);
		atomic_fetch_sub(&worker->load, 1);
		atomic_fetch_sub(&worker->all->clients, 1);
	}
	close_handed(worker);
	end_trials(worker);
}
