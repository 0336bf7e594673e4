/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A client's search for an upstream: one after the other, until one answers.
 * Included by arrivals.c, clients.c.
 *
 * Another is tried only while the one before is being connected, and so before any byte was sent to
 * it: no client's request reaches two upstreams.
 */
#ifndef SOCKPROXY_SEARCH_H
#define SOCKPROXY_SEARCH_H

#include "worker.h"

/* Connect it, or refuse it. */
void begin_search(struct worker *worker, struct client *client);

/* Those who waited for a place at an upstream, and have been given one, are connected. */
void connect_placed(struct worker *worker);

/* Clients that wait where nobody answers, as this worker or another has found, go elsewhere. */
void look_for_silent(struct worker *worker);

#endif
