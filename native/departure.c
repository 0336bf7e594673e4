// SPDX-License-Identifier: GPL-2.0-only
#include "departure.h"

#include "admission.h"
#include "arrivals.h"
#include "clients.h"
#include "connect.h"
#include "hello.h"
#include "news.h"
#include "own.h"
#include "queue.h"
#include "system.h"
#include "targets.h"

void unlink_client(struct client *client)
{
	*client->link = client->next;
	if (client->next)
		client->next->link = client->link;
}

void leave(struct worker *worker, struct client *client)
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
	dismiss(worker->all, pair->host);
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
	news->client = client->said;
	news->service = client->attempt.service->number;
	news->upstream.far = client->attempt.target;
}

void close_client(struct worker *worker, struct client *client)
{
	stop_hearing(worker, client);
	leave(worker, client);
	cancel_attempt(worker, &client->attempt);
	dismiss(worker->all, client->host);
	unlink_client(client);
	sys.close(client->fd);
	free_client(client);
}

void refuse_with(struct worker *worker, struct client *client, enum rejection why, int number,
		 const char *what)
{
	struct news *news = tell_reserved(worker, NEWS_REFUSED);

	describe_refusal(news, client, why, number);
	news->why = what;
	close_client(worker, client);
	atomic_fetch_add(&worker->all->refused, 1);
	client_has_gone(worker, 0);
}

void refuse(struct worker *worker, struct client *client, enum rejection why, int number)
{
	refuse_with(worker, client, why, number, NULL);
}
