// SPDX-License-Identifier: GPL-2.0-only
#include "workers.h"

#include "hosts.h"
#include "loop.h"
#include "memory.h"
#include "service.h"
#include "system.h"
#include "unix_socket.h"

#include <errno.h>
#include <stdlib.h>

static void on_bell(struct worker *worker, void *owner, uint32_t events)
{
	/* It is told of at each write, and never read: EPOLLET. What there is to look at is looked
	 * at whenever the worker has served what epoll told. */
	(void)worker, (void)owner, (void)events;
}

static int open_bell(struct worker *worker)
{
	struct bell *bell = &worker->bell;
	int failed;

	if (bell->fd >= 0)
		return 0;
	bell->fd = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (bell->fd < 0)
		return -errno;
	failed = watch(worker, bell->fd, EPOLLIN | EPOLLET, on_bell, NULL);
	if (failed) {
		sys.close(bell->fd);
		bell->fd = -1;
	}
	return failed;
}

static struct workers *new_workers(void)
{
	struct workers *all = blank(sizeof(*all));

	if (!all)
		return NULL;
	pthread_mutex_init(&all->lock, NULL);
	all->most_pipes = -1;
	return all;
}

int join_workers(struct worker *worker, struct worker *mate)
{
	struct workers *all = mate ? mate->all : new_workers();

	if (!all)
		return -ENOMEM;
	worker->all = all;
	worker->mate = all->first;
	all->first = worker;
	all->count++;
	return 0;
}

int open_bells(struct worker *worker)
{
	struct worker *each;
	int failed = 0;

	if (worker->all->count == 1)
		return 0;
	for (each = worker->all->first; each && !failed; each = each->mate)
		failed = open_bell(each);
	return failed;
}

void leave_workers(struct worker *worker)
{
	struct workers *all = worker->all;
	struct worker **link;

	if (worker->bell.fd >= 0)
		sys.close(worker->bell.fd);
	worker->bell.fd = -1;
	for (link = &all->first; *link != worker; link = &(*link)->mate)
		;
	*link = worker->mate;
	if (--all->count)
		return;
	free_services(all);
	free_hosts(&all->hosts);
	free_paths(all);
	free(all->own.all);
	free(all->own.hashed);
	free(all);
}

/* One of the two sees what the other has written: the worker, that it is woken, or this, that it
 * sleeps. */
void wake(struct worker *worker)
{
	uint64_t once = 1;

	atomic_store(&worker->bell.rung, true);
	if (atomic_exchange(&worker->bell.asleep, false))
		sys.write(worker->bell.fd, &once, sizeof(once));
}

void wake_others(struct worker *worker)
{
	struct worker *each;

	for (each = worker->all->first; each; each = each->mate)
		if (each != worker)
			wake(each);
}

bool falls_asleep(struct worker *worker)
{
	if (worker->bell.fd >= 0)
		atomic_store(&worker->bell.asleep, true);
	return !atomic_load(&worker->bell.rung);
}

void wakes_up(struct worker *worker)
{
	if (worker->bell.fd >= 0)
		atomic_store(&worker->bell.asleep, false);
}

bool is_woken(struct worker *worker)
{
	return atomic_load_explicit(&worker->bell.rung, memory_order_relaxed) &&
	       atomic_exchange(&worker->bell.rung, false);
}
