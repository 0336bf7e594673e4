// SPDX-License-Identifier: GPL-2.0-only
#include "worker.h"

#include "news.h"
#include "system.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

EXPORT struct worker *worker_new(void)
{
	struct worker *worker = sys.realloc(NULL, sizeof(*worker));

	if (!worker) {
		errno = ENOMEM;
		return NULL;
	}
	memset(worker, 0, sizeof(*worker));
	worker->epoll = sys.epoll_create1(EPOLL_CLOEXEC);
	if (worker->epoll < 0) {
		free(worker);
		return NULL;
	}
	return worker;
}

/* The descriptors that are closed here are this process's own. What epoll has of them is the
 * parent's as well, in a forked child, and so it must not be told. */
EXPORT void worker_abandon(struct worker *worker)
{
	sys.close(worker->epoll);
	worker->epoll = -1;
	worker_free(worker);
}

EXPORT void worker_free(struct worker *worker)
{
	worker_close_clients(worker);
	if (worker->epoll >= 0)
		sys.close(worker->epoll);
	free(worker->watches);
	free(worker->timers.heap);
	free(worker->news.all);
	free(worker->listeners);
	free(worker->options);
	free(worker->targets);
	free(worker->own.all);
	free(worker->own.hashed);
	free(worker);
}

EXPORT int worker_set_option(struct worker *worker, int level, int name, const void *value,
			     uint32_t size, int loopback)
{
	struct option *options;

	if (size > sizeof(options->value))
		return -EINVAL;
	options = sys.realloc(worker->options, (worker->options_count + 1) * sizeof(*options));
	if (!options)
		return -ENOMEM;
	worker->options = options;
	options += worker->options_count++;
	memset(options, 0, sizeof(*options));
	options->level = level;
	options->name = name;
	options->size = size;
	options->loopback = loopback;
	memcpy(options->value, value, size);
	return 0;
}
