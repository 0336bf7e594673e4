/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What one channel waits for: a moment, or space at its target. One timer, as it waits for one
 * thing at a time.
 * Included by channel.c, pair.c, redirect.c.
 */
#ifndef SOCKPROXY_WAITS_H
#define SOCKPROXY_WAITS_H

#include "connection.h"

/* What is to be called once, when the target has space. */
enum space_call {
	SPACE_FOR_BACKLOG = 1,	/* of the channel: what it was behind_backlog() for */
	SPACE_FOR_OPPOSITE = 2, /* the opposite channel's pump */
};

void begin_waits(struct waits *waits);

/* Call after so long, and what was to be called before that not at all. */
void wait_for(struct worker *worker, struct channel *channel, int64_t time, on_time *call);

/* What is waited for next has not been looked at yet. */
void start_waits_anew(struct waits *waits);

/* Call at once the first times, then after pauses that double. */
void wait_again(struct worker *worker, struct channel *channel, on_time *call);

/*
 * Call when the kernel may have sent more of what was redirected to the target.
 *
 * While the target has space sk_psock_backlog() is about to run, and nobody tells when it has: so
 * look. Without space it cannot, for as long as a reader likes; then wait for the edge, whatever
 * sk_psock_backlog() does meanwhile: if it fills the target before epoll has looked, tcp_poll()
 * asks for the next edge.
 */
void wait_behind_backlog(struct worker *worker, struct channel *channel, on_time *call);

/* The target has space: what is to be called now, bits of enum space_call. */
uint32_t take_space_calls(struct waits *waits);

void stop_waits(struct worker *worker, struct waits *waits);

#endif
