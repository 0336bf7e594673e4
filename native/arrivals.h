/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which worker has a client, and whether there is a place for one more.
 * Included by accept.c, clients.c, departure.c, loop.c.
 *
 * The kernel wakes whoever waits (EPOLLEXCLUSIVE), which is mostly the same: so the one that
 * accepts hands over to the one that has the fewest clients. docs/decisions/0018-workers.md has
 * what it was measured against.
 */
#ifndef SOCKPROXY_ARRIVALS_H
#define SOCKPROXY_ARRIVALS_H

#include "worker.h"

/* Whether there is a place; if not, the worker is woken when there is. */
bool has_place(struct worker *worker);

/* As has_place(); it is taken then. */
bool take_place(struct worker *worker);

/* Let others have it, which wait for one. */
void give_place_back(struct worker *worker);

/* A client that has a place was accepted: serve it here, or have another worker do so. */
void arrive(struct worker *worker, struct client *client);

/* Serve those that others have handed over, and do what else another worker woke this one for. */
void look_around(struct worker *worker);

/* Reset those that were handed over, and not yet served. */
void close_handed(struct worker *worker);

#endif
