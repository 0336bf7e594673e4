// SPDX-License-Identifier: GPL-2.0-only
#include "end.h"

#include "abi/splice.h"
#include "sockets.h"
#include "system.h"
#include "words.h"

#include <errno.h>

void open_end(struct end *end, struct pair *pair, int fd, const struct two_addresses *is)
{
	*end = (struct end){.pair = pair, .fd = fd, .slot = -1};
	end->is_unix = is->far.family == AF_UNIX;
}

const char *enrol_end(struct worker *worker, struct end *end)
{
	struct kernel *kernel = worker->kernel;
	char protocol[16];
	int slot;

	read_upper_protocol(end->fd, protocol);
	if (*protocol) /* kernels before 54a3ecaeeeae crash on TLS in a sockmap; not all refuse it
			*/
		return words(worker, "the kernel speaks %s on it", protocol);
	slot = read_cookie(end->fd, &end->cookie);
	if (!slot)
		slot = kernel->enrol(kernel, end->fd, end->cookie);
	if (slot == -ENOSPC)
		return words(worker, "all slots are taken; raise the connection limit");
	if (slot < 0)
		return words(worker, "enrol a socket: %s", words_of_errno(worker, -slot));
	end->slot = slot;
	end->in_targets = true;
	return NULL;
}

int inspect_end(struct worker *worker, const struct end *end, struct inspection *seen)
{
	return end->slot < 0 ? 0 : worker->kernel->inspect(worker->kernel, end->slot, seen);
}

int fail_end(struct worker *worker, struct end *end, const char *why, int had_fin)
{
	struct inspection seen;
	int found;

	end->failed = why;
	end->had_fin = had_fin > 0;
	found = had_fin < 0 ? 0 : inspect_end(worker, end, &seen);
	if (found > 0)
		end->had_fin = seen.had_fin;
	return found < 0 ? found : 0;
}

void leave_maps(struct worker *worker, struct end *end)
{
	if (end->slot < 0)
		return;
	worker->kernel->release(worker->kernel, end->slot, end->cookie);
	end->slot = -1;
	end->in_targets = false;
}

void send_fin(struct end *end)
{
	if (!sys.shutdown(end->fd, SHUT_WR))
		end->fin_sent = true;
	/* Else it is ENOTCONN: reset meanwhile, which the channel out of it tells. */
}

void close_end(struct worker *worker, struct end *end, bool reset)
{
	leave_maps(worker, end);
	if (reset)
		close_with_reset(end->fd);
	else
		close_in_order(end->fd);
}
