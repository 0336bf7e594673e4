// SPDX-License-Identifier: GPL-2.0-only
#include "failure.h"

#include "channel.h"
#include "end.h"
#include "farewell.h"
#include "news.h"
#include "pair.h"
#include "redirect.h"
#include "sockets.h"
#include "words.h"

#include <errno.h>

const char *outcome_of(struct worker *worker, const struct end *end)
{
	return words(worker, "%s (%s)", end->failed,
		     end == &end->pair->client ? "client" : "upstream");
}

bool check_error(struct worker *worker, struct end *end)
{
	int number = take_error(end->fd, !end->fin_sent && !end->is_unix);

	if (!number || number == EAGAIN)
		return false;
	/* tcp_reset() makes EPIPE of a RST behind a FIN; so does a send to what failed before. */
	fail(worker, end, words_of_errno(worker, number),
	     number == EPIPE && !out_of(end)->pump.failure);
	return true;
}

void fail(struct worker *worker, struct end *end, const char *why, int had_fin)
{
	struct pair *pair = end->pair;
	struct channel *out = out_of(end);

	if (end->failed)
		return;
	note_failure(worker, end, why, had_fin);
	if (!pair->outcome && out->shared)
		on_end_of_source(worker, out);
	if (!pair->outcome)
		move(worker, out);
	if (!pair->outcome && pair->farewell.last)
		look_at_farewell(worker, pair);
}

void note_failure(struct worker *worker, struct end *end, const char *why, int had_fin)
{
	struct pair *pair = end->pair;
	struct channel *out = out_of(end);
	struct news *news;
	int failed;

	if (end->failed || pair->outcome)
		return;
	failed = fail_end(worker, end, why, had_fin);
	if (failed) {
		break_pair(worker, pair, "inspect a socket", -failed);
		return;
	}
	news = worker->interest & INTEREST_FAILED ? tell(worker, NEWS_FAILED) : NULL;
	if (news) {
		news->number = pair->number;
		news->backward = end == &pair->upstream;
		news->why = why;
	}
	if (pair->farewell.last || (had_fin >= 0 && fence(end->fd) != CLOSED)) {
		/* Both ends have failed; or TCP goes on, and the psock has failed and lost its
		 * bytes. */
		end_pair(worker, pair, outcome_of(worker, end), true);
		return;
	}
	drop_channel(worker, out->opposite); /* nobody will read it; who sends it is not to wait */
	begin_farewell(pair, out);
}
