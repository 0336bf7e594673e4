// SPDX-License-Identifier: GPL-2.0-only
#include "clients.h"

#include "accept.h"
#include "arrivals.h"
#include "connect.h"
#include "memory.h"
#include "news.h"
#include "own.h"
#include "pair.h"
#include "proxy_protocol.h"
#include "queue.h"
#include "search.h"
#include "system.h"
#include "targets.h"

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

/* -- the end of a client's wait -- */

static void unlink_client(struct client *client)
{
	*client->link = client->next;
	if (client->next)
		client->next->link = client->link;
}

void leave_upstream(struct worker *worker, struct client *client)
{
	leave_queue(worker->all, client);
	if (client->at)
		leave_target(worker->all, client->attempt.service, client->at);
	client->at = NULL;
}

void client_of_pair_has_gone(struct worker *worker, const struct pair *pair)
{
	if (pair->at)
		leave_target(worker->all, pair->service, pair->at);
	client_has_gone(worker, pair->own);
}

void client_has_gone(struct worker *worker, uint32_t own)
{
	drop_own(worker->all, own);
	atomic_fetch_sub(&worker->load, 1);
	give_place_back(worker);
}

void describe_refusal(struct news *news, const struct client *client, enum rejection why,
		      int number)
{
	news->rejection = why;
	news->error = number == FAILURE_TIME_OUT ? 0 : number;
	news->client = client->ends;
	news->service = client->attempt.service->number;
	news->upstream.far = client->attempt.target;
}

void refuse_client(struct worker *worker, struct client *client, enum rejection why, int number)
{
	describe_refusal(tell_reserved(worker, NEWS_REFUSED), client, why, number);
	leave_upstream(worker, client);
	cancel_attempt(worker, &client->attempt);
	unlink_client(client);
	sys.close(client->fd);
	free_client(client);
	atomic_fetch_add(&worker->all->refused, 1);
	client_has_gone(worker, 0);
}

void pair_client(struct worker *worker, struct client *client)
{
	struct beginning from = {
		.client = client->fd,
		.client_is = client->ends,
		.upstream_is = {.near = client->attempt.near, .far = client->attempt.target},
		.own = client->attempt.own,
		.came = client->came,
		.service = client->attempt.service,
		.at = client->at,
	};
	unsigned char preface[LONGEST_PREFACE];
	int failed;

	if (client->attempt.service->preface) {
		from.ahead[0] = preface;
		from.ahead_size[0] =
			write_preface(client->attempt.service->preface, &client->ends, preface);
		from.why_not_past = "the upstream was told first who the client is";
	}
	from.upstream = take_socket(&client->attempt);
	if (!begin_pair(worker, &from, &failed)) {
		drop_own(worker->all, from.own);
		sys.close(from.upstream);
		refuse_client(worker, client, REJECTED_FAILED, -failed);
		return;
	}
	give_up_reserved(worker);
	unlink_client(client);
	free_client(client);
}

void serve_client(struct worker *worker, struct client *client)
{
	client->next = worker->connecting;
	client->link = &worker->connecting;
	if (client->next)
		client->next->link = &client->next;
	worker->connecting = client;
	if (comes_back(worker->all, client->fd, &client->ends))
		refuse_client(worker, client, REJECTED_OWN, 0); /* it would come again, for ever */
	else
		begin_search(worker, client);
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
		leave_upstream(worker, client);
		cancel_attempt(worker, &client->attempt);
		give_up_reserved(worker);
		unlink_client(client);
		sys.close(client->fd);
		free_client(client);
		atomic_fetch_sub(&worker->load, 1);
		atomic_fetch_sub(&worker->all->clients, 1);
	}
	close_handed(worker);
	end_trials(worker);
}
