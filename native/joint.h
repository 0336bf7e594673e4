/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What goes past a proxied connection: from its client to its upstream without us.
 * Included by circuit.c, door.c, life.c, pair.c, sweep.c, table.c.
 *
 * read_joint() and why_not_past() belong to every thread, the others to the loop's.
 */
#ifndef SOCKPROXY_JOINT_H
#define SOCKPROXY_JOINT_H

#include "connection.h"

/* Have the words ready that other threads may need. */
void prepare_whys(struct worker *worker);

/* Of a new pair; why: it is never to be made, as where one socket has sent what was not read from
 * the other; or NULL. */
void prepare_joint(struct worker *worker, struct pair *pair, const char *why);

/* It is a conversation: have the rest of it go past us, if it may. */
void make_joint(struct worker *worker, struct pair *pair);

/* It is none, and will be none, for these words: unless it goes past us already the ends need not
 * wait for that, as it costs them something. */
void give_joint_up(struct worker *worker, struct pair *pair, const char *why);

/* What went past so far: at the end too, when the kernel knows it no more. */
struct past read_joint(struct worker *worker, struct pair *pair);

/* Why messages do not go past the connection; "" where they may. */
const char *why_not_past(struct pair *pair);

/* Let nothing go past us any more, and when all that did has arrived drop what comes by the
 * channel; where that takes too long the pair is reset. */
void end_joint(struct worker *worker, struct channel *channel);

/* The pair has ended. */
void close_joint(struct worker *worker, struct pair *pair);

/* In a forked child: close its descriptor. NULL, and twice, are allowed. */
void abandon_circuit(struct circuit *circuit);

/* The worker needs its circuits no more. */
void put_circuits(struct worker *worker);

/* Who made the circuit, or a joint, needs it no more. */
void put_circuit(struct circuit *circuit);

#endif
