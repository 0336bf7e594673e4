// SPDX-License-Identifier: GPL-2.0-only
#include "clients.h"

#include "accept.h"
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
#include "search.h"
#include "system.h"

#include <stdlib.h>

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

void pair_client(struct worker *worker, struct client *client)
{
	struct beginning from = {
		.client = client->fd,
		.client_is = client->said,
		.upstream_is = {.near = client->attempt.near, .far = client->attempt.target},
		.own = client->attempt.own,
		.came = client->came,
		.service = client->attempt.service,
		.at = client->at,
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

/* -- what is to be known first -- */

static void on_name(struct worker *worker, struct client *client, enum rejection why, int number,
		    const char *what)
{
	if (!why && client->attempt.service->only_routes)
		why = REJECTED_UNROUTED;
	if (why)
		refuse_with(worker, client, why, number, what);
	else
		begin_search(worker, client);
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
