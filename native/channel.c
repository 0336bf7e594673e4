// SPDX-License-Identifier: GPL-2.0-only
#include "channel.h"

#include "abi/splice.h"
#include "conversation.h"
#include "end.h"
#include "failure.h"
#include "pair.h"
#include "pump.h"
#include "redirect.h"
#include "shared.h"
#include "sockets.h"
#include "system.h"
#include "timers.h"
#include "turns.h"
#include "unix_socket.h"
#include "waits.h"
#include "words.h"

#include <errno.h>

static void hand_over(struct worker *worker, struct channel *channel);

void begin_channel(struct worker *worker, struct channel *channel)
{
	if (has_more(&channel->pump))
		move(worker, channel);
	else if (!channel->refused && channel->conversation.eager)
		hand_over(worker, channel);
}

void refuse_channel(struct channel *channel, const char *why)
{
	channel->refused = true;
	set_phase(channel, state_of(channel), why);
}

static void on_move(struct worker *worker, void *owner)
{
	move(worker, owner);
}

void drop_channel(struct worker *worker, struct channel *channel)
{
	channel->dropped = true;
	channel->pump.discards = true;
	if (state_of(channel) == STATE_REDIRECT) {
		drop_in_kernel(channel);
		return;
	}
	/* Nothing will be written behind the backlog, so nothing waits for it. */
	if (state_of(channel) == STATE_DRAIN) {
		set_phase(channel, STATE_PUMP, why_of(channel));
		channel->pump.urgent_waits = true;
		channel->pump.sees_end = false;
	}
	set_reserved_timer(worker, &channel->dropping, now(), on_move, channel);
}

uint64_t moved(const struct channel *channel)
{
	const struct direction *shared = channel->shared;
	const struct pump *pump = &channel->pump;
	uint64_t bytes = atomic_load_explicit(&pump->pumped, memory_order_relaxed) +
			 atomic_load_explicit(&pump->discarded, memory_order_relaxed);

	if (shared)
		bytes += LOAD(shared->redirected_bytes) + LOAD(shared->dropped_bytes);
	return bytes;
}

void close_channel(struct worker *worker, struct channel *channel)
{
	set_phase(channel, STATE_FINISHED, worker->at_end);
	channel->shared = NULL; /* the slot may be another's next */
	stop_waits(worker, &channel->waits);
	cancel_timer(worker, &channel->dropping);
	forget_turn(worker, channel);
	close_pump(worker, &channel->pump);
}

/* -- PUMP -- */

void move(struct worker *worker, struct channel *channel)
{
	if (channel->pair->outcome)
		return;
	if (!channel->turn.used)
		pump_now(worker, channel);
	else if (channel->bulk)
		ask_for_turn(worker, channel);
	else if (!channel->turn.asked)
		pump_now(worker, channel);
}

/* The source's last byte has been written: pass its end on. */
static void finish(struct worker *worker, struct channel *channel)
{
	struct end *source = channel->source, *target = channel->target;
	struct pair *pair = channel->pair;
	const char *why;
	int had_fin;

	if (channel->pump.failure) {
		note_failure(worker, source, words_of_errno(worker, channel->pump.failure), 0);
	} else if (!source->failed && !source->is_unix && fence(source->fd) == CLOSED &&
		   !source->fin_sent) {
		/* A reset, read as an end: after a FIN alone our side would still be open. */
		had_fin = take_error(source->fd, false) == EPIPE;
		note_failure(worker, source, words(worker, "reset by peer"), had_fin);
	} else if (!source->failed && (why = before_fin(worker, source))) {
		note_failure(worker, source, why, -1);
	}
	if (pair->outcome || state_of(channel) != STATE_PUMP)
		return; /* both ends have failed */
	if (!target->failed && channel->shared && is_sending(worker, channel)) {
		/* What the kernel had taken before the channel was dropped is still being sent. */
		wait_behind_backlog(worker, channel, on_move);
		return;
	}
	if (pair->outcome)
		return;
	set_phase(channel, STATE_FINISHED, worker->at_end);
	cancel_timer(worker, &channel->waits.timer);
	/* Where the other channel has finished, close(2) sends it: nothing is left to be read. Not
	 * where others may have the socket as well, as of one that was given to us. */
	if (!target->failed && (source->had_fin || !source->failed) &&
	    !(pair->came && !pair->farewell.last && state_of(channel->opposite) == STATE_FINISHED))
		send_fin(target);
	on_finished(worker, pair);
}

/* The source is empty: hand over to the kernel, if it is to have what comes next. */
static void judge(struct worker *worker, struct channel *channel)
{
	uint64_t burst = channel->burst;

	channel->burst = 0;
	if (burst)
		note_burst(&channel->conversation, burst, moved(channel->opposite));
	if (suits_redirect(&channel->conversation))
		hand_over(worker, channel);
}

void pump_now(struct worker *worker, struct channel *channel)
{
	struct pump *pump = &channel->pump;
	uint64_t before = pump->pumped, moved;
	int more;

	if (channel->pair->outcome || state_of(channel) != STATE_PUMP)
		return;
	more = run_pump(worker, pump, ROUNDS);
	if (more == -EPIPE && channel->target->is_unix && is_met(channel->target->fd)) {
		drop_channel(worker, channel); /* its reader has shut that down, and may send on */
		return;
	}
	if (more < 0) {
		fail(worker, channel->target, words_of_errno(worker, -more), 0);
		return;
	}
	moved = pump->pumped - before;
	channel->burst += moved;
	channel->bulk = moved > SMALL;
	if (before <= STREAM && pump->pumped > STREAM)
		streams(worker, channel->pair);
	if (more || channel->bulk)
		channel->turn.used = true;
	if (more)
		go_on_with_turn(worker, channel);
	else if (pump->held)
		return; /* the target is full */
	else if (pump->at_end)
		finish(worker, channel);
	else if (!channel->refused)
		judge(worker, channel);
}

void on_space(struct worker *worker, struct channel *channel)
{
	uint32_t calls = take_space_calls(&channel->waits);

	if (calls & SPACE_FOR_BACKLOG) { /* in DRAIN, or in PUMP at the end: each does its own */
		look_at_backlog(worker, channel);
		move(worker, channel);
	}
	if (calls & SPACE_FOR_OPPOSITE)
		move(worker, channel->opposite);
	if (channel->pump.held)
		move(worker, channel);
}

/* -- PUMP to REDIRECT -- */

/* Whether nothing is redirected to the source: the opposite channel is paused then. */
static bool is_quiet(struct worker *worker, struct channel *channel)
{
	struct channel *opposite = channel->opposite;

	if (state_of(opposite) == STATE_DRAIN)
		return false;
	return !opposite->shared || pause_redirect(worker, opposite);
}

static void start(struct worker *worker, struct channel *channel)
{
	const char *why = start_redirect(worker, channel);

	if (why)
		refuse_channel(channel, why);
}

/* Hand over when it may be quiet: not while the opposite channel's reader is stalled. */
static void try_later(struct worker *worker, struct channel *channel)
{
	if (has_space(channel->source->fd))
		wait_for(worker, channel, channel->conversation.rest, on_move);
	else
		channel->opposite->waits.for_space |= SPACE_FOR_OPPOSITE;
}

/* At a quiet moment, on a new psock. */
static void restart(struct worker *worker, struct channel *channel)
{
	struct end *source = channel->source;
	struct kernel *kernel = worker->kernel;
	int renewed = kernel->renew(kernel, source->slot, source->fd);

	if (renewed < 0) {
		/* The socket is out of the sockmaps for good; so nothing may be redirected to it,
		 * and the opposite channel stays paused. */
		source->in_targets = false;
		refuse_channel(channel, words(worker, "renew a socket: %s",
					      words_of_errno(worker, -renewed)));
		return;
	}
	if (renewed)
		start(worker, channel);
	else
		try_later(worker, channel);
	if (channel->opposite->shared)
		resume_redirect(channel->opposite);
}

/* To REDIRECT, with nothing in the pump; or look again later. */
static void hand_over(struct worker *worker, struct channel *channel)
{
	int64_t rest = rest_left(&channel->conversation);
	bool sending;

	if (rest) {
		wait_for(worker, channel, rest, on_move);
		return;
	}
	if (!channel->shared) {
		if (!enrol_pair(worker, channel->pair))
			return;
		enrol_channel(worker, channel);
	}
	if (channel->fresh) {
		start(worker, channel);
		return;
	}
	sending = is_sending(worker, channel) || !is_quiet(worker, channel);
	if (channel->pair->outcome)
		return;
	if (sending)
		try_later(worker, channel);
	else
		restart(worker, channel);
}
