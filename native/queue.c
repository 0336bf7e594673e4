// SPDX-License-Identifier: GPL-2.0-only
#include "queue.h"

#include "balance.h"
#include "workers.h"

static void append(struct queue *queue, struct client *client)
{
	if (!queue->first)
		queue->last = &queue->first;
	client->queue = queue;
	client->behind = NULL;
	client->ahead = queue->last;
	*client->ahead = client;
	queue->last = &client->behind;
	queue->count++;
}

static void take_out(struct client *client)
{
	struct queue *queue = client->queue;

	*client->ahead = client->behind;
	if (client->behind)
		client->behind->ahead = client->ahead;
	else
		queue->last = client->ahead;
	queue->count--;
}

void join_queue(struct worker *worker, struct client *client)
{
	client->waits_in = worker;
	append(&client->attempt.service->waiting, client);
}

void take_place_at(struct client *client, struct target *target)
{
	client->at = target;
	target->load++;
	target->chosen++;
}

static void place(struct client *client, struct target *target)
{
	take_out(client);
	take_place_at(client, target);
	append(&client->waits_in->placed, client);
	wake(client->waits_in);
}

/* Where one that has tried none finds none, neither does anybody behind it. */
void hand_places(struct service *service)
{
	struct client *client, *behind;
	struct target *target;

	for (client = service->waiting.first; client; client = behind) {
		behind = client->behind;
		target = take_target(client);
		if (target)
			place(client, target);
		else if (!client->tried_count)
			return;
	}
}

void leave_queue(struct workers *all, struct client *client)
{
	if (!client->waits_in)
		return;
	pthread_mutex_lock(&all->lock);
	take_out(client);
	client->waits_in = NULL;
	pthread_mutex_unlock(&all->lock);
}

struct client *next_placed(struct worker *worker)
{
	struct client *client;

	pthread_mutex_lock(&worker->all->lock);
	client = worker->placed.first;
	if (client) {
		take_out(client);
		client->waits_in = NULL;
	}
	pthread_mutex_unlock(&worker->all->lock);
	return client;
}
