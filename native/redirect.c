// SPDX-License-Identifier: GPL-2.0-only
#include "redirect.h"

#include "abi/splice.h"
#include "channel.h"
#include "conversation.h"
#include "end.h"
#include "failure.h"
#include "mark.h"
#include "pair.h"
#include "shared.h"
#include "sockets.h"
#include "system.h"
#include "urgent.h"
#include "waits.h"
#include "words.h"

#include <errno.h>

#define URGENT_WAIT (20 * MILLISECOND) /* between looks for a byte that is still on its way */

static const char *const HELD[] = {
	[HELD_BUDGET] = "held: budget",		  [HELD_ON_REQUEST] = "held: on request",
	[HELD_TARGET_GONE] = "held: target gone", [HELD_PART_READ] = "held: part read",
	[HELD_TOO_LONG] = "held: too long",	  [HELD_URGENT] = "held: urgent",
};

void enrol_channel(struct worker *worker, struct channel *channel)
{
	struct kernel *kernel = worker->kernel;

	channel->shared = kernel->direction(kernel, channel->source->slot);
	channel->fresh = true;
}

/* -- the parser -- */

/* What was held meanwhile is told by its hold event. */
static void go_on(struct channel *channel)
{
	STORE(channel->shared->action, channel->dropped ? ACTION_DROP : ACTION_REDIRECT);
}

/* Hold what arrives from now on; the fence waits for a parser that runs. */
static void hold(struct channel *channel)
{
	STORE(channel->shared->action, ACTION_HOLD);
	fence(channel->source->fd);
}

static uint32_t is_held(const struct channel *channel)
{
	return LOAD(channel->shared->held);
}

/* Bytes that the kernel took and has not yet given to the target's TCP, or a negative errno:
 * -ECONNRESET when the target has been reset. */
static int64_t backlog_of(struct worker *worker, struct channel *channel)
{
	struct direction *shared = channel->shared;
	struct inspection seen;
	int found;

	if (!LOAD(shared->anchored) || !channel->target->in_targets)
		return 0;
	found = inspect_end(worker, channel->target, &seen);
	if (found <= 0)
		return found ? found : -ECONNRESET;
	return LOAD(shared->queued) - (seen.write_seq - LOAD(shared->anchor));
}

bool is_sending(struct worker *worker, struct channel *channel)
{
	int64_t backlog = backlog_of(worker, channel);

	if (backlog < 0 && backlog != -ECONNRESET) /* that is told by the target's own event */
		break_pair(worker, channel->pair, "inspect a socket", (int)-backlog);
	return backlog > 0;
}

void drop_in_kernel(struct channel *channel)
{
	if (state_of(channel) == STATE_REDIRECT && channel->shared) {
		channel->dropped = true;
		STORE(channel->shared->action, ACTION_DROP);
	}
}

/* -- PUMP to REDIRECT -- */

const char *start_redirect(struct worker *worker, struct channel *channel)
{
	struct kernel *kernel = worker->kernel;
	struct direction *shared = channel->shared;
	struct end *source = channel->source;
	int failed = watch_urgent(worker, source->fd);

	if (failed)
		return words(worker, "urgent bytes: %s", words_of_errno(worker, -failed));
	channel->fresh = false;
	STORE(shared->target, (uint32_t)channel->target->slot);
	STORE(shared->budget,
	      (uint32_t)(worker->budget < UINT32_MAX ? worker->budget : UINT32_MAX));
	STORE(shared->anchored, 0);
	STORE(shared->held, 0);
	go_on(channel);
	failed = kernel->start(kernel, source->slot, source->fd);
	if (failed)
		return words(worker, "start a redirect: %s", words_of_errno(worker, -failed));
	set_phase(channel, STATE_REDIRECT, words(worker, "%s", ""));
	tell_changed(worker, channel, STATE_REDIRECT, why_of(channel));
	note_started(&channel->conversation);
	kick(source->fd);
	look_for_urgent(worker, channel);
	return NULL;
}

bool pause_redirect(struct worker *worker, struct channel *channel)
{
	if (state_of(channel) != STATE_REDIRECT)
		return true;
	hold(channel);
	if (!is_sending(worker, channel))
		return true;
	go_on(channel);
	return false;
}

void resume_redirect(struct channel *channel)
{
	if (state_of(channel) == STATE_REDIRECT)
		go_on(channel);
}

/* -- REDIRECT to DRAIN, and DRAIN to PUMP -- */

static void on_backlog(struct worker *worker, void *owner)
{
	look_at_backlog(worker, owner);
}

void look_at_backlog(struct worker *worker, struct channel *channel)
{
	int64_t backlog;

	if (state_of(channel) != STATE_DRAIN)
		return;
	backlog = channel->target->failed ? 0 : backlog_of(worker, channel);
	if (backlog == -ECONNRESET) {
		fail(worker, channel->target, words(worker, "reset by peer"), 0);
	} else if (backlog < 0) {
		break_pair(worker, channel->pair, "inspect a socket", (int)-backlog);
	} else if (backlog) {
		wait_behind_backlog(worker, channel, on_backlog);
	} else {
		/* What the target's TCP sends from here on is user space's. */
		STORE(channel->shared->anchored, 0);
		set_phase(channel, STATE_PUMP, why_of(channel));
		/* Perhaps: of what came meanwhile epoll was not told. */
		channel->pump.urgent_waits = true;
		channel->pump.sees_end = false;
		move(worker, channel);
	}
}

/* The source is stopped: wait until what was redirected has been sent. */
static void drain(struct worker *worker, struct channel *channel, const char *why)
{
	set_phase(channel, STATE_DRAIN, why);
	start_waits_anew(&channel->waits);
	look_at_backlog(worker, channel);
}

/* The source is stopped in the midst of its stream. */
static void break_off(struct worker *worker, struct channel *channel, const char *why)
{
	tell_changed(worker, channel, STATE_DRAIN, why);
	drain(worker, channel, why);
}

static bool stop_source(struct worker *worker, struct channel *channel)
{
	int failed = worker->kernel->stop(worker->kernel, channel->source->slot);

	if (failed)
		break_pair(worker, channel->pair, "stop a redirect", -failed);
	return !failed;
}

void on_hold(struct worker *worker, struct channel *channel)
{
	uint32_t why;

	if (state_of(channel) != STATE_REDIRECT || !(why = is_held(channel)))
		return;
	/* The hold left EAGAIN in sk_err, which is none; any other error there is the socket's. */
	check_error(worker, channel->source);
	if (state_of(channel) != STATE_REDIRECT)
		return;
	note_held(&channel->conversation);
	if (stop_source(worker, channel))
		break_off(worker, channel,
			  words(worker, "%s", why <= HELD_URGENT ? HELD[why] : "held"));
}

static void on_end_again(struct worker *worker, void *owner)
{
	on_end_of_source(worker, owner);
}

/* Whether nothing is unread before the end. A FIN is, for good; after a RST there may be none, and
 * what is unread is the urgent byte. */
static bool is_all_taken(const struct inspection *seen)
{
	uint32_t unread = seen->rcv_nxt - seen->copied_seq;

	return !unread || (unread == 1 && !(seen->urgent && seen->state == CLOSED));
}

void on_end_of_source(struct worker *worker, struct channel *channel)
{
	struct inspection seen;
	int found;

	if (state_of(channel) != STATE_REDIRECT || is_held(channel))
		return; /* the pump reads it, or will */
	found = inspect_end(worker, channel->source, &seen);
	if (found < 0) {
		break_pair(worker, channel->pair, "inspect a socket", -found);
	} else if (!found || is_all_taken(&seen)) {
		/* Before 5.19 a socket that is reset leaves its sockmaps, after the strparser took
		 * all. */
		if (stop_source(worker, channel))
			drain(worker, channel, words(worker, "end of stream"));
	} else if (seen.urgent) {
		look_for_urgent(worker, channel); /* the strparser takes nothing behind it */
	} else {
		kick(channel->source->fd);
		wait_again(worker, channel, on_end_again);
	}
}

static void on_urgent_wait(struct worker *worker, void *owner)
{
	look_for_urgent(worker, owner);
}

void look_for_urgent(struct worker *worker, struct channel *channel)
{
	int mark;

	if (state_of(channel) != STATE_REDIRECT || is_held(channel))
		return;
	mark = stop_at_mark(worker, channel);
	if (mark == -EOVERFLOW) {
		abort_pair(worker, channel->pair,
			   words(worker, "internal error: pass an urgent byte on; two came at the "
					 "same moment"));
	} else if (mark < 0) {
		break_pair(worker, channel->pair, "stop at an urgent byte", -mark);
	} else if (mark == MARK_AHEAD) {
		wait_for(worker, channel, URGENT_WAIT, on_urgent_wait);
	} else if (mark == MARK_REACHED) {
		note_held(&channel->conversation);
		break_off(worker, channel, words(worker, "urgent data"));
	}
}
