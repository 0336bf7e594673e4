/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Clients that wait for a place at an upstream, of which all are full: who came first has it first.
 * Included by departure.c, search.c, targets.c.
 *
 * A place that becomes free is handed over, under the lock, to the first who waits and has not
 * tried that upstream; so nobody who comes meanwhile can have it. Its worker is woken, and connects
 * it.
 */
#ifndef SOCKPROXY_QUEUE_H
#define SOCKPROXY_QUEUE_H

#include "worker.h"

/* -- under the lock of the workers -- */

/* The last from now on, of this worker. */
void join_queue(struct worker *worker, struct client *client);

/* It is one of this target's clients from now on. */
void take_place_at(struct client *client, struct target *target);

/* Hand over the places that there are. */
void hand_places(struct service *service);

/* -- of the loop's thread -- */

/* A client that goes waits no more, wherever it stands. One that does not wait is allowed. */
void leave_queue(struct workers *all, struct client *client);

/* One of this worker's that has been given a place; it waits no more. NULL: there is none. */
struct client *next_placed(struct worker *worker);

#endif
