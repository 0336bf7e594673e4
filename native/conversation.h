/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which bytes the kernel should move: those of a conversation, not those of a stream.
 * Included by channel.c, pair.c, redirect.c.
 *
 * A redirect saves user space a wake-up for each burst, but the kernel queues and sends every skb
 * by itself. splice(2) moves whatever has queued up in one go. So requests and responses are
 * redirected, and a stream, which keeps its reader awake anyway, is pumped.
 */
#ifndef SOCKPROXY_CONVERSATION_H
#define SOCKPROXY_CONVERSATION_H

#include "connection.h"

#define SMALL (64 * 1024) /* bytes of a burst, as a request or a response has them */
#define STREAM (1 << 20)  /* bytes by PUMP, of what has not become a conversation by then */
#define FEW 4		  /* answered bursts that make a conversation */
#define MANY 256	  /* after many holds */
#define SHORTEST_REST (2 * MILLISECOND) /* in PUMP after a hold */
#define LONGEST_REST SECOND
#define QUIET SECOND /* a channel not held for so long is trusted again */

void begin_conversation(struct conversation *it, bool eager);

/* The pump moved `size` bytes, and then its source was empty. answers: bytes that have gone the
 * other way. A burst counts when some went since the last that counted: a stream's bursts are small
 * too when the pump is quick. */
void note_burst(struct conversation *it, uint64_t size, uint64_t answers);

/* Whether the kernel should move what comes next. */
bool suits_redirect(const struct conversation *it);

/* The kernel moves the bytes from here. */
void note_started(struct conversation *it);

/* The reader did not keep up with what the kernel moved: wait longer next time. */
void note_held(struct conversation *it);

/* Until the rest after a hold is over: ns; 0 when it is. */
int64_t rest_left(const struct conversation *it);

#endif
