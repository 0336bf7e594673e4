/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The upstreams of a service: which there are, who is at them, and where nobody answers.
 * Included by departure.c, search.c.
 *
 * One that did not answer is passed over until worker_has_answered(); when no other is left, it is
 * tried all the same. balance.h says whose turn it is.
 */
#ifndef SOCKPROXY_TARGETS_H
#define SOCKPROXY_TARGETS_H

#include "worker.h"

enum place {
	NO_PLACE,	 /* there is none that this client has not tried */
	HAS_PLACE,	 /* it is at `address`, and one of its clients */
	WAITS_FOR_PLACE, /* all are full: it is in the queue (queue.h) */
};

/* Whose turn it is, of those that this client has not tried; its turn is over then. */
enum place take_turn(struct worker *worker, struct client *client, struct address *address);

/* A client that was there has gone, or goes elsewhere: its place is another's. */
void leave_target(struct workers *all, struct service *service, struct target *target);

/* Whether there is one with a place that is not silent, and that this client has not tried. */
bool has_another(struct workers *all, const struct client *client);

/* The attempt has failed by this errno, or FAILURE_TIME_OUT. Whether its target is passed over from
 * now on, which is told. */
bool has_fallen_silent(struct worker *worker, const struct attempt *attempt, int number);

/* Whether its target is one that is passed over. */
bool is_silent(struct workers *all, const struct attempt *attempt);

#endif
