// SPDX-License-Identifier: GPL-2.0-only
#include "accept.h"

#include "address.h"
#include "arrivals.h"
#include "clients.h"
#include "connect.h"
#include "loop.h"
#include "news.h"
#include "service.h"
#include "sweep.h"
#include "system.h"
#include "timers.h"

#include <errno.h>
#include <stdlib.h>

#define ACCEPTS 64 /* before other events have their turn */

static void accept_some(struct worker *worker, void *owner, uint32_t events);

static void pause_accepting(struct worker *worker)
{
	size_t each;

	worker->accepting = false;
	for (each = 0; each < worker->listeners_count; each++)
		unwatch(worker, worker->listeners[each].fd);
}

static void accept_again(struct worker *worker, void *owner)
{
	(void)owner;
	begin_accepting(worker);
}

/* For want of something. */
static void wait_for_more(struct worker *worker, int number)
{
	struct news *news = tell(worker, NEWS_SHORT);

	if (news)
		news->error = number;
	pause_accepting(worker);
	set_reserved_timer(worker, &worker->shortage, now() + SHORTAGE_PAUSE, accept_again, NULL);
}

void begin_accepting(struct worker *worker)
{
	size_t each;
	int failed;

	if (worker->accepting || worker->shortage.place || !worker->listeners_count ||
	    !has_place(worker))
		return;
	worker->accepting = true;
	for (each = 0; each < worker->listeners_count; each++) {
		failed = watch(worker, worker->listeners[each].fd, EPOLLIN | EPOLLEXCLUSIVE,
			       accept_some, (void *)each);
		if (failed) {
			wait_for_more(worker, -failed);
			return;
		}
	}
}

/* 0, or the errno of accept4(2). */
static int accept_one(struct worker *worker, size_t number)
{
	const struct listener *listener = &worker->listeners[number];
	struct client *client = new_client(worker);
	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);
	int failed;

	if (!client)
		return ENOMEM;
	client->fd = sys.accept4(listener->fd, (struct sockaddr *)&peer, &size,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (client->fd < 0) {
		failed = errno;
		give_up_reserved(worker);
		free_client(client);
		return failed;
	}
	client->came = now();
	client->attempt.service = listener->service;
	client->ends.far = from_sockaddr(&peer);
	client->ends.near = listener->near;
	if (listener->any)
		read_near(client->fd, &client->ends.near);
	client->said = client->ends;
	arrive(worker, client);
	return 0;
}

static void accept_some(struct worker *worker, void *owner, uint32_t events)
{
	int left, failed;

	(void)events;
	for (left = ACCEPTS; left && worker->accepting; left--) {
		if (!take_place(worker)) {
			pause_accepting(worker);
			return;
		}
		failed = accept_one(worker, (size_t)owner);
		if (failed)
			give_place_back(worker);
		if (failed == EAGAIN)
			return;
		if (is_shortage(failed)) /* the client waits on: it is not taken before */
			wait_for_more(worker, failed);
		/* Of other errors the client has given up while it waited. */
	}
}

EXPORT void worker_limit_clients(struct worker *worker, uint32_t most)
{
	worker->all->most_clients = most;
}

static struct listener *listener_of(struct worker *worker, int fd)
{
	size_t each;

	for (each = 0; each < worker->listeners_count; each++)
		if (worker->listeners[each].fd == fd)
			return &worker->listeners[each];
	return NULL;
}

static int add_listener(struct worker *worker, struct service *service, int fd)
{
	size_t count = worker->listeners_count;
	struct listener *all = sys.realloc(worker->listeners, (count + 1) * sizeof(*all));
	int failed;

	if (!all)
		return -ENOMEM;
	if (!worker->listeners && reserve_timers(worker, 1)) { /* for a shortage */
		free(all);
		return -ENOMEM;
	}
	worker->listeners = all;
	all[count] = (struct listener){.fd = fd, .service = service};
	failed = read_near(fd, &all[count].near);
	if (failed)
		return failed;
	all[count].any = is_any(&all[count].near);
	pause_accepting(worker);
	worker->listeners_count++;
	begin_accepting(worker);
	return 0;
}

EXPORT int worker_listen(struct worker *worker, uint32_t number, int fd)
{
	struct service *service = service_of(worker, number);
	struct listener *listener = listener_of(worker, fd);

	if (!service)
		return -EINVAL;
	if ((service->idle_timeout >= 0 || service->lifetime >= 0) && begin_sweeps(worker))
		return -ENOMEM;
	if (!listener)
		return add_listener(worker, service, fd);
	listener->service = service;
	/* Anew: another process may have been told of a client, which it takes no more. */
	pause_accepting(worker);
	begin_accepting(worker);
	return 0;
}

EXPORT void worker_unlisten(struct worker *worker, int fd)
{
	struct listener *listener = listener_of(worker, fd);

	if (!listener)
		return;
	pause_accepting(worker); /* what is watched is known by its place, which changes */
	*listener = worker->listeners[--worker->listeners_count];
	begin_accepting(worker);
}

EXPORT void worker_listen_no_more(struct worker *worker)
{
	cancel_timer(worker, &worker->shortage);
	pause_accepting(worker);
	worker->listeners_count = 0;
}
