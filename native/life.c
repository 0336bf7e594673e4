// SPDX-License-Identifier: GPL-2.0-only
/* The door's calls about connections: see door.h. */
#include "abi/splice.h"
#include "address.h"
#include "channel.h"
#include "joint.h"
#include "loop.h"
#include "memory.h"
#include "news.h"
#include "pair.h"
#include "redirect.h"
#include "sockets.h"
#include "sweep.h"
#include "system.h"
#include "table.h"
#include "timers.h"
#include "words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* -- limits, and what accelerates -- */

EXPORT int worker_limit(struct worker *worker, uint64_t budget, int eager, int64_t idle_timeout,
			int most_pipes)
{
	worker->budget = budget;
	worker->eager = eager;
	worker->idle_timeout = idle_timeout;
	worker->all->most_pipes = most_pipes;
	return idle_timeout < 0 ? 0 : begin_sweeps(worker);
}

static void on_holds(struct worker *worker, void *owner, uint32_t events)
{
	struct kernel *kernel = owner;
	struct channel *channel;
	int slot;

	(void)events;
	while ((slot = kernel->take_hold(kernel)) >= 0) {
		channel = channel_of_slot(worker, slot);
		if (channel)
			on_hold(worker, channel);
	}
}

EXPORT int worker_use(struct worker *worker, struct kernel *kernel)
{
	int failed;

	worker->by_slot = blank((size_t)kernel->capacity * sizeof(*worker->by_slot));
	if (!worker->by_slot)
		return -ENOMEM;
	failed = watch(worker, kernel->holds_fd, EPOLLIN, on_holds, kernel);
	if (failed) {
		free(worker->by_slot);
		worker->by_slot = NULL;
		return failed;
	}
	worker->kernel = kernel;
	return 0;
}

EXPORT void worker_tell_why_not(struct worker *worker, const char *why)
{
	worker->why_not = words(worker, "%s", why);
}

EXPORT int worker_set_circuits(struct worker *worker, struct circuit *const *circuits,
			       uint32_t count, const char *why_none)
{
	struct circuit **all = sys.realloc(NULL, (count + !count) * sizeof(*all));
	uint32_t each;

	if (!all)
		return -ENOMEM;
	for (each = 0; each < count; each++) {
		all[each] = circuits[each];
		__atomic_add_fetch(&all[each]->users, 1, __ATOMIC_RELAXED);
	}
	put_circuits(worker);
	free(worker->circuits);
	worker->circuits = all;
	worker->circuits_count = count;
	worker->why_no_circuits = words(worker, "%s", why_none);
	return 0;
}

EXPORT void worker_tell(struct worker *worker, uint32_t interest)
{
	worker->interest = interest;
}

/* -- connections -- */

/* Both addresses of a socket, also after a reset, when getpeername() fails. */
static int read_both(int fd, struct two_addresses *both)
{
	struct sockaddr_storage found;
	socklen_t size = sizeof(found);
	int failed = read_near(fd, &both->near);

	if (failed)
		return failed;
	memset(&found, 0, sizeof(found));
	if (sys.getpeername(fd, (struct sockaddr *)&found, &size)) {
		/* It is EINVAL to ask for more than the family has. */
		size = size_of_family(both->near.family);
		if (sys.getsockopt(fd, SOL_SOCKET, SO_PEERNAME, &found, &size))
			return -errno;
	}
	found.ss_family = both->near.family;
	both->far = from_sockaddr(&found);
	return 0;
}

EXPORT int worker_add(struct worker *worker, const struct addition *added, uint64_t *number)
{
	struct beginning from = {
		.client = added->client_fd,
		.upstream = added->upstream_fd,
		.ahead = {added->client_ahead, added->upstream_ahead},
		.ahead_size = {added->client_size, added->upstream_size},
		.why_not_past = added->why_not_past,
	};
	struct pair *pair;
	int failed = read_both(from.client, &from.client_is);

	if (!failed)
		failed = read_both(from.upstream, &from.upstream_is);
	if (failed)
		return failed;
	pair = begin_pair(worker, &from, &failed);
	if (!pair)
		return failed;
	*number = pair->number;
	return 0;
}

EXPORT void worker_drop(struct worker *worker, uint64_t number, int backward)
{
	struct pair *pair = find_pair(worker, number);

	if (pair)
		end_joint(worker, backward ? &pair->backward : &pair->forward);
}

EXPORT void worker_abort(struct worker *worker, uint64_t number, const char *why)
{
	struct pair *pair = find_pair(worker, number);

	if (pair)
		abort_pair(worker, pair, words(worker, "%s", why));
}

EXPORT void worker_end_all(struct worker *worker)
{
	while (worker->table.first)
		abort_pair(worker, worker->table.first, words(worker, "closed"));
	if (worker->kernel)
		unwatch(worker, worker->kernel->holds_fd);
	worker->kernel = NULL;
}

EXPORT uint32_t worker_take_news(struct worker *worker, struct news *into, uint32_t most)
{
	return take_news(worker, into, most);
}
