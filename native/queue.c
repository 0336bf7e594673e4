// SPDX-License-Identifier: GPL-2.0-only
#include "queue.h"

#include "balance.h"
#include "workers.h"

static void unlink_waiting(struct client *client)
{
	struct service *service = client->attempt.service;

	*client->ahead = client->behind;
	if (client->behind)
		client->behind->ahead = client->ahead;
	else if (service->last_waiting == &client->behind)
		service->last_waiting = client->ahead;
	service->waiting_count -= !client->at; /* one with a place was counted out before */
}

void join_queue(struct worker *worker, struct client *client)
{
	struct service *service = client->attempt.service;

	client->waits_in = worker;
	client->behind = NULL;
	client->ahead = service->last_waiting;
	*client->ahead = client;
	service->last_waiting = &client->behind;
	service->waiting_count++;
}

void take_place_at(struct client *client, struct target *target)
{
	client->at = target;
	target->load++;
	target->chosen++;
}

static void place(struct client *client, struct target *target)
{
	struct worker *worker = client->waits_in;

	unlink_waiting(client);
	take_place_at(client, target);
	client->behind = worker->placed;
	client->ahead = &worker->placed;
	if (client->behind)
		client->behind->ahead = &client->behind;
	worker->placed = client;
	wake(worker);
}

/* Where one that has tried none finds none, neither does anybody behind it. */
void hand_places(struct service *service)
{
	struct client *client, *behind;
	struct target *target;

	for (client = service->waiting; client; client = behind) {
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
	unlink_waiting(client);
	client->waits_in = NULL;
	pthread_mutex_unlock(&all->lock);
}

struct client *next_placed(struct worker *worker)
{
	struct client *client;

	pthread_mutex_lock(&worker->all->lock);
	client = worker->placed;
	if (client) {
		unlink_waiting(client);
		client->waits_in = NULL;
	}
	pthread_mutex_unlock(&worker->all->lock);
	return client;
}
