// SPDX-License-Identifier: GPL-2.0-only
#include "mark.h"

#include "abi/splice.h"
#include "end.h"
#include "shared.h"
#include "sockets.h"

#include <errno.h>

int stop_at_mark(struct worker *worker, struct channel *channel)
{
	struct end *source = channel->source;
	struct inspection seen, before, after;
	int found, last, failed;

	found = inspect_end(worker, source, &seen);
	if (found <= 0 || !seen.urgent)
		return found < 0 ? found : MARK_NOWHERE;
	STORE(channel->shared->action, ACTION_HOLD);
	fence(source->fd);
	if (seen.parser_working || at_urgent_mark(source->fd) <= 0) {
		kick(source->fd);
		return MARK_AHEAD;
	}
	found = inspect_end(worker, source, &before);
	if (found < 0)
		return found;
	failed = worker->kernel->stop(worker->kernel, source->slot);
	if (failed)
		return failed;
	fence(source->fd);
	last = inspect_end(worker, source, &after);
	if (last < 0)
		return last;
	if (found && last && before.copied_seq != after.copied_seq && !LOAD(channel->shared->held))
		return -EOVERFLOW;
	return MARK_REACHED;
}
