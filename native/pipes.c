// SPDX-License-Identifier: GPL-2.0-only
#include "pipes.h"

#include "system.h"

#include <errno.h>

#define PIPE_BYTES (256 * 1024) /* slots for 64 pages; one can hold a fragment of up to 32 KiB */

/* Count it: whether there may be one more. */
static bool may_have_one_more(struct workers *all)
{
	int count = atomic_fetch_add(&all->pipes, 1);

	if (all->most_pipes < 0 || count < all->most_pipes)
		return true;
	atomic_fetch_sub(&all->pipes, 1);
	return false;
}

/* Another worker may want for the one that is kept here. */
static bool is_scarce(const struct workers *all)
{
	return all->count > 1 && all->most_pipes >= 0 &&
	       atomic_load(&all->pipes) >= all->most_pipes;
}

bool take_pipe(struct worker *worker, int pipe[2])
{
	struct pipes *pipes = &worker->pipes;

	if (pipes->spare_count) {
		pipes->spare_count--;
		pipe[0] = pipes->spare[pipes->spare_count][0];
		pipe[1] = pipes->spare[pipes->spare_count][1];
		return true;
	}
	pipe[0] = pipe[1] = -1;
	if (!may_have_one_more(worker->all))
		return false;
	if (sys.pipe2(pipe, O_CLOEXEC | O_NONBLOCK)) {
		pipe[0] = pipe[1] = -1;
		atomic_fetch_sub(&worker->all->pipes, 1);
		return false;
	}
	/* Over pipe-user-pages-soft it keeps the size that it has, which will do. */
	sys.fcntl(pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
	return true;
}

static void close_pipe(struct worker *worker, const int pipe[2])
{
	atomic_fetch_sub(&worker->all->pipes, 1);
	sys.close(pipe[0]);
	sys.close(pipe[1]);
}

void give_pipe_back(struct worker *worker, int pipe[2], bool empty)
{
	struct pipes *pipes = &worker->pipes;

	if (pipe[0] < 0)
		return;
	if (empty && pipes->spare_count < SPARE_PIPES && !is_scarce(worker->all)) {
		pipes->spare[pipes->spare_count][0] = pipe[0];
		pipes->spare[pipes->spare_count][1] = pipe[1];
		pipes->spare_count++;
	} else {
		close_pipe(worker, pipe);
	}
	pipe[0] = pipe[1] = -1;
}

int open_sink(struct worker *worker)
{
	worker->pipes.sink = sys.open("/dev/null", O_WRONLY | O_CLOEXEC);
	return worker->pipes.sink < 0 ? -errno : 0;
}

void close_pipes(struct worker *worker)
{
	struct pipes *pipes = &worker->pipes;

	while (pipes->spare_count)
		close_pipe(worker, pipes->spare[--pipes->spare_count]);
	if (pipes->sink >= 0)
		sys.close(pipes->sink);
	pipes->sink = -1;
}
