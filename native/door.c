// SPDX-License-Identifier: GPL-2.0-only
#include "worker.h"

#include "joint.h"
#include "memory.h"
#include "news.h"
#include "pair.h"
#include "pipes.h"
#include "system.h"
#include "table.h"
#include "urgent.h"
#include "words.h"
#include "workers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

EXPORT struct worker *worker_new(struct worker *mate)
{
	struct worker *worker = blank(sizeof(*worker));

	if (!worker || join_workers(worker, mate)) {
		free(worker);
		errno = ENOMEM;
		return NULL;
	}
	worker->pipes.sink = worker->urgent.fd = worker->bell.fd = -1;
	worker->table.end = &worker->table.first;
	worker->epoll = sys.epoll_create1(EPOLL_CLOEXEC);
	if (worker->epoll < 0 || open_bells(worker) || open_sink(worker) ||
	    have_room_for_news(worker, SPARE_NEWS)) {
		worker_free(worker);
		return NULL;
	}
	worker->idle_timeout = -1;
	pthread_mutex_init(&worker->table.lock, NULL);
	pthread_mutex_init(&worker->joints, NULL);
	worker->at_first = words(worker, "no conversation so far");
	worker->at_end = words(worker, "end of stream");
	worker->finished = words(worker, "finished");
	worker->why_not = words(worker, "relay asked for");
	worker->why_no_circuits = words(worker, "not asked for");
	prepare_whys(worker);
	return worker;
}

EXPORT void worker_before_fork(struct worker *worker)
{
	pthread_mutex_lock(&worker->table.lock);
}

EXPORT void worker_after_fork(struct worker *worker)
{
	pthread_mutex_unlock(&worker->table.lock);
}

/* epoll is not told: what it has of them is the parent's as well. */
EXPORT void worker_abandon(struct worker *worker)
{
	struct pipes *pipes = &worker->pipes;
	struct pair *pair;
	uint32_t each;

	sys.close(worker->epoll);
	sys.close(pipes->sink);
	if (worker->urgent.fd >= 0)
		sys.close(worker->urgent.fd);
	if (worker->bell.fd >= 0)
		sys.close(worker->bell.fd);
	for (; pipes->spare_count > 0; pipes->spare_count--) {
		sys.close(pipes->spare[pipes->spare_count - 1][0]);
		sys.close(pipes->spare[pipes->spare_count - 1][1]);
	}
	for (each = 0; each < worker->circuits_count; each++)
		abandon_circuit(worker->circuits[each]);
	for (pair = worker->table.first; pair; pair = pair->next)
		abandon_pair(pair);
}

EXPORT void worker_free(struct worker *worker)
{
	worker_close_clients(worker);
	worker_end_all(worker);
	worker->news.count = 0;
	bury(worker);
	close_urgent(worker);
	close_pipes(worker);
	put_circuits(worker);
	if (worker->epoll >= 0)
		sys.close(worker->epoll);
	free_words(worker);
	free(worker->circuits);
	free(worker->by_slot);
	free(worker->table.hashed);
	free(worker->watches);
	free(worker->timers.heap);
	free(worker->news.all);
	free(worker->listeners);
	leave_workers(worker);
	free(worker);
}
