// SPDX-License-Identifier: GPL-2.0-only
#include "arrivals.h"

#include "accept.h"
#include "clients.h"
#include "departure.h"
#include "news.h"
#include "search.h"
#include "system.h"
#include "workers.h"

#include <errno.h>

/* -- places -- */

static void set_paused(struct worker *worker, bool paused)
{
	if (worker->paused == paused)
		return;
	worker->paused = paused;
	if (paused)
		atomic_fetch_add(&worker->all->paused, 1);
	else
		atomic_fetch_sub(&worker->all->paused, 1);
}

static bool is_full(struct worker *worker)
{
	return atomic_load(&worker->all->clients) >= worker->all->most_clients;
}

/* It is looked at once more after it was told that this one waits: a place that is given back is
 * either seen here, or whoever gives it back sees that. */
bool has_place(struct worker *worker)
{
	if (is_full(worker)) {
		set_paused(worker, true);
		if (is_full(worker))
			return false;
	}
	set_paused(worker, false);
	return true;
}

bool take_place(struct worker *worker)
{
	struct workers *all = worker->all;

	while (has_place(worker)) {
		if (atomic_fetch_add(&all->clients, 1) < all->most_clients)
			return true;
		give_place_back(worker);
	}
	return false;
}

void give_place_back(struct worker *worker)
{
	struct workers *all = worker->all;

	atomic_fetch_sub(&all->clients, 1);
	if (atomic_load(&all->paused) > worker->paused)
		wake_others(worker);
	if (worker->paused)
		begin_accepting(worker);
}

/* -- whose they are -- */

/* The one with the fewest clients; this one, where no other has fewer. */
static struct worker *least_loaded(struct worker *worker)
{
	uint32_t least = atomic_load(&worker->load), load;
	struct worker *found = worker, *each;

	for (each = worker->all->first; each; each = each->mate) {
		load = atomic_load(&each->load);
		if (load < least) {
			least = load;
			found = each;
		}
	}
	return found;
}

static void hand_over(struct worker *to, struct client *client)
{
	pthread_mutex_lock(&to->all->lock);
	client->next = to->handed;
	to->handed = client;
	pthread_mutex_unlock(&to->all->lock);
	wake(to);
}

void arrive(struct worker *worker, struct client *client)
{
	struct worker *other = least_loaded(worker);

	atomic_fetch_add(&other->load, 1);
	if (other == worker) {
		serve_client(worker, client);
	} else {
		give_up_reserved(worker);
		hand_over(other, client);
	}
}

/* In the order in which they came. */
static struct client *take_handed(struct worker *worker)
{
	struct client *last, *first = NULL, *before;

	pthread_mutex_lock(&worker->all->lock);
	last = worker->handed;
	worker->handed = NULL;
	pthread_mutex_unlock(&worker->all->lock);
	for (; last; last = before) {
		before = last->next;
		last->next = first;
		first = last;
	}
	return first;
}

static void reset(struct client *client)
{
	sys.close(client->fd);
	free_client(client);
}

/* There is no memory for it, but perhaps for this. */
static void tell_refused(struct worker *worker, const struct client *client)
{
	struct news *news = tell(worker, NEWS_REFUSED);

	if (news)
		describe_refusal(news, client, REJECTED_FAILED, ENOMEM);
}

static void serve_handed(struct worker *worker)
{
	struct client *client, *next;

	for (client = take_handed(worker); client; client = next) {
		next = client->next;
		if (!reserve_news(worker)) {
			serve_client(worker, client);
			continue;
		}
		tell_refused(worker, client);
		reset(client);
		atomic_fetch_add(&worker->all->refused, 1);
		client_has_gone(worker, 0);
	}
}

void look_around(struct worker *worker)
{
	if (!is_woken(worker))
		return;
	serve_handed(worker);
	connect_placed(worker);
	look_for_silent(worker);
	begin_accepting(worker);
}

void close_handed(struct worker *worker)
{
	struct client *client, *next;

	for (client = take_handed(worker); client; client = next) {
		next = client->next;
		reset(client);
		atomic_fetch_sub(&worker->load, 1);
		atomic_fetch_sub(&worker->all->clients, 1);
	}
}
