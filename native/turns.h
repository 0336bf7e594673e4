/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Turns of the loop, for a channel that moves much: others need not wait for all of it.
 * Included by channel.c, loop.c.
 *
 * A turn has parts, between which what is small is served; whoever has had the last part of one
 * waits behind all others who have asked.
 */
#ifndef SOCKPROXY_TURNS_H
#define SOCKPROXY_TURNS_H

#include "connection.h"

#define ROUNDS 2 /* of reading and writing, a part of a turn: then what is small is served */
#define PARTS 8	 /* of a turn: then other streams have theirs */

/* Have the channel run when its turn comes. Twice is allowed. */
void ask_for_turn(struct worker *worker, struct channel *channel);

/* A part of the turn was not enough: have the next one, or the next turn. */
void go_on_with_turn(struct worker *worker, struct channel *channel);

/* Twice is allowed. */
void forget_turn(struct worker *worker, struct channel *channel);

bool has_turns(const struct worker *worker);

/* For a slice of time; the rest after another look at all else. */
void run_turns(struct worker *worker);

#endif
