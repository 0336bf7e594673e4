// SPDX-License-Identifier: GPL-2.0-only
#include "pump.h"

#include "pipes.h"
#include "sockets.h"
#include "system.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FLAGS (SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
#define COPIED (64 * 1024) /* bytes at a time, without a pipe */

static void free_ahead(struct pump *pump)
{
	if (pump->ahead != pump->small)
		free(pump->ahead);
	pump->ahead = NULL;
	pump->ahead_at = pump->ahead_end = 0;
}

int open_pump(struct pump *pump, int source, int target, size_t limit, const void *ahead,
	      size_t size)
{
	pump->source = source;
	pump->target = target;
	pump->limit = limit;
	pump->pipe[0] = pump->pipe[1] = -1;
	if (!size)
		return 0;
	pump->ahead = sys.realloc(NULL, size);
	if (!pump->ahead)
		return -ENOMEM;
	pump->ahead_end = size;
	memcpy(pump->ahead, ahead, size);
	return 0;
}

bool has_more(const struct pump *pump)
{
	return pump->ahead_at < pump->ahead_end;
}

/* Read so many bytes at most without a pipe, fewer without memory; an urgent one by itself. 0, or a
 * negative errno. */
static int copy(struct pump *pump, size_t count, bool urgent)
{
	ssize_t copied;
	int failed;

	free_ahead(pump);
	pump->ahead = count > sizeof(pump->small) ? sys.realloc(NULL, count) : pump->small;
	if (!pump->ahead) {
		pump->ahead = pump->small;
		count = sizeof(pump->small);
	}
	copied = RETRY(sys.read(pump->source, pump->ahead, count));
	failed = copied < 0 ? -errno : 0;
	if (copied <= 0)
		free_ahead(pump);
	if (failed)
		return failed;
	pump->held = pump->ahead_end = (size_t)copied;
	if (urgent) {
		pump->is_urgent = copied > 0;
		pump->urgent_waits = false;
	}
	return 0;
}

/* The source has failed. splice(2) tells it once: behind the last byte, or before an urgent one
 * that is still to be read (tcp_splice_read()). */
static void note_failure(struct pump *pump, int number)
{
	if (!pump->failure)
		pump->failure = number;
	if (at_urgent_mark(pump->source) > 0)
		copy(pump, 1, true);
	pump->at_end = !pump->held;
}

/* 0, or a negative errno. */
static int fill(struct worker *worker, struct pump *pump)
{
	ssize_t spliced;
	int mark;

	if (pump->pipe[0] < 0)
		take_pipe(worker, pump->pipe);
	mark = pump->urgent_waits ? at_urgent_mark(pump->source) : 0;
	if (mark < 0)
		return mark;
	if (mark)
		return copy(pump, 1, true);
	if (pump->pipe[0] < 0)
		return copy(pump, pump->limit < COPIED ? pump->limit : COPIED, false);
	spliced = RETRY(sys.splice(pump->source, NULL, pump->pipe[1], NULL, pump->limit, FLAGS));
	if (spliced < 0)
		return -errno;
	pump->held = (size_t)spliced;
	/* At its end, or at the mark with a FIN behind it: read(2) tells which, unless epoll has:
	 * tcp_poll() has looked for a FIN and then for urgent bytes, all of which had come before.
	 * A Unix socket also gives nothing where the kernel had no memory. */
	return spliced || pump->sees_end ? 0 : copy(pump, 1, !pump->from_unix);
}

/* Fill the pipe; false when nothing is there or nothing will come. */
static bool read_some(struct worker *worker, struct pump *pump)
{
	size_t ahead = pump->ahead_end - pump->ahead_at;
	int failed;

	if (ahead) {
		pump->held = ahead < pump->limit ? ahead : pump->limit;
		return true;
	}
	failed = fill(worker, pump);
	if (!failed)
		pump->at_end = !pump->held;
	else if (failed != -EAGAIN)
		note_failure(pump, -failed);
	if (!pump->held || has_more(pump))
		give_pipe_back(worker, pump->pipe, true);
	return pump->held > 0;
}

static ssize_t write_ahead(struct pump *pump, int target)
{
	unsigned char *at = pump->ahead + pump->ahead_at;

	if (pump->is_urgent && !pump->to_unix && !pump->discards)
		return RETRY(sys.send(target, at, 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL));
	if (pump->discards)
		return RETRY(sys.write(target, at, pump->held));
	return RETRY(sys.send(target, at, pump->held, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/* Write as much of what is held as the target takes: 1; 0 when it is full, or a negative errno. */
static int write_some(struct worker *worker, struct pump *pump)
{
	int target = pump->discards ? worker->pipes.sink : pump->target;
	ssize_t written;

	if (has_more(pump))
		written = write_ahead(pump, target);
	else
		written = RETRY(sys.splice(pump->pipe[0], NULL, target, NULL, pump->held, FLAGS));
	if (written < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (has_more(pump)) {
		pump->ahead_at += (size_t)written;
		if (!has_more(pump))
			free_ahead(pump);
	}
	pump->held -= (size_t)written;
	pump->is_urgent = false;
	atomic_fetch_add_explicit(pump->discards ? &pump->discarded : &pump->pumped,
				  (uint64_t)written, memory_order_relaxed);
	return 1;
}

int run_pump(struct worker *worker, struct pump *pump, int rounds)
{
	int wrote;

	for (; rounds; rounds--) {
		if (!pump->held && (pump->at_end || !read_some(worker, pump)))
			return 0;
		wrote = write_some(worker, pump);
		if (wrote <= 0)
			return wrote;
	}
	return 1;
}

void close_pump(struct worker *worker, struct pump *pump)
{
	give_pipe_back(worker, pump->pipe, !pump->held || has_more(pump));
	free_ahead(pump);
}
