// SPDX-License-Identifier: GPL-2.0-only
#include "pair.h"

#include "abi/bypass.h"
#include "channel.h"
#include "conversation.h"
#include "end.h"
#include "failure.h"
#include "farewell.h"
#include "joint.h"
#include "loop.h"
#include "memory.h"
#include "news.h"
#include "pump.h"
#include "redirect.h"
#include "sockets.h"
#include "system.h"
#include "table.h"
#include "timers.h"
#include "waits.h"
#include "words.h"

#include <errno.h>
#include <stdlib.h>

/* Edges: a channel in REDIRECT causes hardly any, because its source wakes the strparser and not
 * us. Whoever takes a channel back looks at both ends once. */
#define EVENTS (EPOLLET | EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP)
#define ENDED (EPOLLRDHUP | EPOLLHUP)
#define TIMERS 6 /* of one pair: two of each channel, of its farewell, of its joint */

static void on_end_events(struct worker *worker, void *owner, uint32_t events)
{
	struct end *end = owner;
	struct pair *pair = end->pair;
	struct channel *out = out_of(end), *into = out->opposite;

	if (events & EPOLLERR && check_error(worker, end))
		return;
	out->pump.urgent_waits = events & EPOLLPRI && !end->is_unix;
	out->pump.sees_end = events & EPOLLRDHUP && !(events & EPOLLPRI) && !end->is_unix;
	if (out->shared && state_of(out) == STATE_REDIRECT) {
		on_hold(worker, out);
		if (events & ENDED && !pair->outcome)
			on_end_of_source(worker, out);
	}
	if (events & (EPOLLIN | ENDED) && !pair->outcome)
		move(worker, out);
	if (events & (EPOLLOUT | ENDED) && !pair->outcome &&
	    (into->pump.held || into->waits.for_space))
		on_space(worker, into);
}

/* -- the beginning -- */

static int open_channel(struct worker *worker, struct pair *pair, struct channel *channel,
			const void *ahead, size_t size)
{
	bool forward = channel == &pair->forward;

	channel->pair = pair;
	channel->source = forward ? &pair->client : &pair->upstream;
	channel->target = forward ? &pair->upstream : &pair->client;
	channel->opposite = forward ? &pair->backward : &pair->forward;
	begin_conversation(&channel->conversation, worker->eager);
	begin_waits(&channel->waits);
	set_phase(channel, STATE_PUMP, worker->at_first);
	channel->pump.from_unix = channel->source->is_unix;
	channel->pump.to_unix = channel->target->is_unix;
	return open_pump(&channel->pump, channel->source->fd, channel->target->fd, worker->budget,
			 ahead, size);
}

/* All that can fail: 0, or a negative errno and what there is so far. */
static int open_pair(struct worker *worker, struct pair *pair, const struct beginning *from)
{
	int failed =
		open_channel(worker, pair, &pair->forward, from->ahead[0], from->ahead_size[0]);

	if (!failed)
		failed = open_channel(worker, pair, &pair->backward, from->ahead[1],
				      from->ahead_size[1]);
	if (!failed)
		failed = watch(worker, pair->client.fd, EVENTS, on_end_events, &pair->client);
	if (!failed)
		failed = watch(worker, pair->upstream.fd, EVENTS, on_end_events, &pair->upstream);
	return failed;
}

static void free_pair(struct worker *worker, struct pair *pair)
{
	close_pump(worker, &pair->forward.pump);
	close_pump(worker, &pair->backward.pump);
	free(pair);
}

static struct pair *new_pair(const struct beginning *from)
{
	struct pair *pair = blank(sizeof(*pair));

	if (!pair)
		return NULL;
	open_end(&pair->client, pair, from->client, &from->client_is);
	open_end(&pair->upstream, pair, from->upstream, &from->upstream_is);
	pair->forward.pump.pipe[0] = pair->backward.pump.pipe[0] = -1;
	pair->client_is = from->client_is;
	pair->upstream_is = from->upstream_is;
	pair->own = from->own;
	pair->came = from->came;
	pair->service = from->service;
	pair->at = from->at;
	pair->host = from->host;
	return pair;
}

static void relay(struct worker *worker, struct pair *pair, const char *why)
{
	pair->kernel = false;
	refuse_channel(&pair->forward, why);
	refuse_channel(&pair->backward, why);
	give_joint_up(worker, pair, why);
}

/* may_join: its conversation may be short-circuited, if there is a kernel to find one. */
static void start_pair(struct worker *worker, struct pair *pair, bool may_join)
{
	pair->kernel = true;
	if (pair->client.is_unix || pair->upstream.is_unix)
		relay(worker, pair, words(worker, "one end is a Unix socket"));
	else if (!worker->kernel) /* one that refuses tells why in enrol_pair() */
		relay(worker, pair, worker->why_not);
	else if (!may_join)
		give_joint_up(worker, pair, why_not_past(pair));
	begin_channel(worker, &pair->forward);
	if (!pair->outcome)
		begin_channel(worker, &pair->backward);
}

struct pair *begin_pair(struct worker *worker, const struct beginning *from, int *failed)
{
	struct pair *pair = new_pair(from);

	*failed = -ENOMEM;
	if (!pair || reserve_news(worker)) {
		free(pair);
		return NULL;
	}
	prepare_joint(worker, pair, from->why_not_past); /* before others see it */
	*failed = reserve_timers(worker, TIMERS);
	if (!*failed) {
		*failed = open_pair(worker, pair, from);
		if (!*failed)
			*failed = add_to_table(worker, pair);
		if (*failed)
			reserve_timers(worker, -TIMERS);
	}
	if (*failed) {
		unwatch(worker, from->client);
		unwatch(worker, from->upstream);
		give_up_reserved(worker);
		free_pair(worker, pair);
		return NULL;
	}
	start_pair(worker, pair, !from->why_not_past);
	return pair;
}

/* -- what its channels ask and tell -- */

/* Both ends have one, or none has. */
static bool has_slots(const struct pair *pair)
{
	return pair->client.slot >= 0;
}

struct channel *channel_of_slot(struct worker *worker, int slot)
{
	struct pair *pair = slot < worker->kernel->capacity ? worker->by_slot[slot] : NULL;

	return !pair ? NULL : out_of(pair->client.slot == slot ? &pair->client : &pair->upstream);
}

bool enrol_pair(struct worker *worker, struct pair *pair)
{
	const char *why, *other;

	if (!pair->kernel || has_slots(pair))
		return pair->kernel;
	why = enrol_end(worker, &pair->client);
	other = enrol_end(worker, &pair->upstream); /* if only to give back what sock_ops gave it */
	why = why ? why : other;
	if (!why) {
		worker->by_slot[pair->client.slot] = worker->by_slot[pair->upstream.slot] = pair;
		return true;
	}
	leave_maps(worker, &pair->client);
	leave_maps(worker, &pair->upstream);
	relay(worker, pair, why);
	return false;
}

void tell_changed(struct worker *worker, struct channel *channel, uint32_t state, const char *why)
{
	struct pair *pair = channel->pair;
	struct news *news = worker->interest & INTEREST_CHANGED ? tell(worker, NEWS_CHANGED) : NULL;

	if (news) {
		news->number = pair->number;
		news->state = state;
		news->backward = channel == &pair->backward;
		news->why = why;
	}
	if (state == STATE_REDIRECT) /* it is a conversation */
		make_joint(worker, pair);
}

void streams(struct worker *worker, struct pair *pair)
{
	give_joint_up(worker, pair, words(worker, "it streams"));
}

const char *before_fin(struct worker *worker, struct end *source)
{
	struct pair *pair = source->pair;
	uint32_t role = source == &pair->client ? ROLE_OPENER : ROLE_ACCEPTER;

	return read_joint(worker, pair).unread & role ? words(worker, "closed with bytes unread")
						      : NULL;
}

void on_finished(struct worker *worker, struct pair *pair)
{
	if (pair->farewell.last)
		look_at_farewell(worker, pair);
	else if (state_of(&pair->forward) == STATE_FINISHED &&
		 state_of(&pair->backward) == STATE_FINISHED)
		end_pair(worker, pair, worker->finished, false);
}

/* -- the end -- */

void abort_pair(struct worker *worker, struct pair *pair, const char *why)
{
	if (pair->outcome)
		return;
	drop_in_kernel(&pair->forward);
	drop_in_kernel(&pair->backward);
	end_pair(worker, pair, why, true);
}

void break_pair(struct worker *worker, struct pair *pair, const char *doing, int number)
{
	abort_pair(worker, pair,
		   words(worker, "internal error: %s: %s", doing, words_of_errno(worker, number)));
}

static void let_go(struct worker *worker, struct pair *pair)
{
	cancel_timer(worker, &pair->farewell.timer);
	cancel_timer(worker, &pair->joint.timer);
	close_channel(worker, &pair->forward);
	close_channel(worker, &pair->backward);
	reserve_timers(worker, -TIMERS);
	if (has_slots(pair))
		worker->by_slot[pair->client.slot] = worker->by_slot[pair->upstream.slot] = NULL;
}

void end_pair(struct worker *worker, struct pair *pair, const char *outcome, bool reset)
{
	if (pair->outcome)
		return;
	/* One that is in the table no more has no descriptors either, for a forked child. */
	pthread_mutex_lock(&worker->table.lock);
	take_from_table(worker, pair, outcome);
	let_go(worker, pair);
	/* Closing takes them out of epoll; an event that is late finds nobody. */
	forget_watch(worker, pair->client.fd);
	forget_watch(worker, pair->upstream.fd);
	close_end(worker, &pair->client, reset);
	close_end(worker, &pair->upstream, reset);
	pthread_mutex_unlock(&worker->table.lock);
	close_joint(worker, pair);
	tell_ended(worker, pair);
}

void abandon_pair(struct pair *pair)
{
	const int *pipes[] = {pair->forward.pump.pipe, pair->backward.pump.pipe};
	size_t each;

	for (each = 0; each < 2; each++) {
		if (pipes[each][0] < 0)
			continue;
		sys.close(pipes[each][0]);
		sys.close(pipes[each][1]);
	}
	abandon_circuit(pair->joint.circuit);
	sys.close(pair->client.fd); /* not for the parent, so no FIN and no RST */
	sys.close(pair->upstream.fd);
}
