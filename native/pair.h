/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two sockets whose bytes go from one to the other, from pairing to close.
 * Included by channel.c, clients.c, door.c, failure.c, farewell.c, joint.c, life.c, redirect.c,
 * sweep.c, urgent.c.
 *
 * A pair may end in the midst of any of these: whoever goes on looks at its outcome first.
 */
#ifndef SOCKPROXY_PAIR_H
#define SOCKPROXY_PAIR_H

#include "connection.h"

/* The channel out of an end. */
static inline struct channel *out_of(struct end *end)
{
	struct pair *pair = end->pair;

	return end == &pair->client ? &pair->forward : &pair->backward;
}

/* What is known of the two sockets of a pair that begins. */
struct beginning {
	int client, upstream;
	struct two_addresses client_is, upstream_is;
	const void *ahead[2]; /* that was read from each of them, and goes first */
	size_t ahead_size[2];
	const char *why_not_past; /* NULL: it may be short-circuited */
	uint32_t own;
	struct service *service;
	struct target *at; /* in whose load it is, and the pair will be; NULL: in none */
	struct host *host;
	int64_t came; /* the moment of a client's accept; 0: it is none of the proxy's clients */
};

/* Move bytes between them. NULL, and the negative errno, where they cannot be watched, or there is
 * no memory: they are the caller's then, and else the pair's. */
struct pair *begin_pair(struct worker *worker, const struct beginning *from, int *failed);

/* Drop what is under way and reset both ends. */
void abort_pair(struct worker *worker, struct pair *pair, const char *why);

/* As abort_pair(), for a call that should not have failed. */
void break_pair(struct worker *worker, struct pair *pair, const char *doing, int number);

/* Close both sockets, and tell. Nothing happens to a pair that has ended. */
void end_pair(struct worker *worker, struct pair *pair, const char *outcome, bool reset);

/* In a forked child: close its descriptors, as the parent goes on with it. */
void abandon_pair(struct pair *pair);

/* -- what its channels ask and tell -- */

/* That of the bytes which come from the socket in the slot; NULL. */
struct channel *channel_of_slot(struct worker *worker, int slot);

/* Whether both sockets have slots in the kernel; if not, none of them ever will. */
bool enrol_pair(struct worker *worker, struct pair *pair);

/* The channel changes hands in the midst of its stream. */
void tell_changed(struct worker *worker, struct channel *channel, uint32_t state, const char *why);

/* One channel has moved very much by PUMP, and it has not become a conversation. */
void streams(struct worker *worker, struct pair *pair);

/* A FIN of `source` is about to be passed on: why it is to be a RST; NULL for a FIN. Behind it the
 * kernel may forget us. */
const char *before_fin(struct worker *worker, struct end *source);

/* A channel has passed its end on; with both, the pair is done. */
void on_finished(struct worker *worker, struct pair *pair);

#endif
