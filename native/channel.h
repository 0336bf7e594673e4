/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One direction of a pair: who moves its bytes, and how that changes hands.
 * Included by failure.c, farewell.c, joint.c, life.c, pair.c, redirect.c, sweep.c, table.c,
 * turns.c, urgent.c.
 *
 *   PUMP --start--> REDIRECT --held, or FIN--> DRAIN --backlog sent--> PUMP --EOF--> FINISHED
 *
 * REDIRECT: the kernel moves the bytes. DRAIN: it takes no more, and what it took is still being
 * sent. PUMP: user space moves them. Acceleration is a state, not a kind of connection. Every
 * channel begins in PUMP, and stays there while it carries what conversation.h does not call one,
 * or when the kernel refuses.
 *
 * Three rules make the changes exact; each answers something in the kernel:
 *
 * 1. A source leaves its sockmap only once its strparser can take nothing more: it was held by our
 *    parser (strp->stopped), or it is at its FIN with all taken. Leaving clears the programs
 * without the socket's lock, and sk_psock_strp_read() drops what the strparser takes while there is
 * no verdict program.
 * 2. User space writes to a target only when the kernel has sent all that was redirected to it:
 *    redirected bytes wait in the target's psock, not in its send queue.
 * 3. A stopped strparser is never started again: strp_init() would clear a work item that may be
 *    queued. The socket gets a new psock, at a moment when its own psock holds nothing and the
 *    opposite channel cannot add to it.
 */
#ifndef SOCKPROXY_CHANNEL_H
#define SOCKPROXY_CHANNEL_H

#include "connection.h"

/* Who moves the bytes of a channel. Words are aligned to more than these. */
enum state {
	STATE_PUMP = 0,
	STATE_REDIRECT = 1,
	STATE_DRAIN = 2,
	STATE_FINISHED = 3,
};

/* The two parts of a phase. */
static inline enum state state_in(uintptr_t phase)
{
	return phase & 3;
}

static inline const char *why_in(uintptr_t phase)
{
	return (const char *)(phase & ~(uintptr_t)3);
}

static inline enum state state_of(const struct channel *channel)
{
	return state_in(atomic_load_explicit(&channel->phase, memory_order_relaxed));
}

/* Why not the kernel, where it does not. */
static inline const char *why_of(const struct channel *channel)
{
	return why_in(atomic_load_explicit(&channel->phase, memory_order_relaxed));
}

static inline void set_phase(struct channel *channel, enum state state, const char *why)
{
	atomic_store_explicit(&channel->phase, (uintptr_t)why | state, memory_order_release);
}

/* Start; what is there to be moved, the loop reports. */
void begin_channel(struct worker *worker, struct channel *channel);

/* The kernel is not to be asked again for this channel. */
void refuse_channel(struct channel *channel, const char *why);

/* From now on throw the bytes away; the end of the stream still passes on. */
void drop_channel(struct worker *worker, struct channel *channel);

/* Bytes that left the source so far. */
uint64_t moved(const struct channel *channel);

/* Move what can be moved, at once if it was little the last time: bulk waits its turn. */
void move(struct worker *worker, struct channel *channel);

/* For part of a turn; then wait for more, finish, or hand over to the kernel. */
void pump_now(struct worker *worker, struct channel *channel);

/* The target has space. */
void on_space(struct worker *worker, struct channel *channel);

/* The connection has ended, its last counters are written: nothing of it is called any more. */
void close_channel(struct worker *worker, struct channel *channel);

#endif
