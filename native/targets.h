/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which upstream is next: each in turn, but for those where nobody answers.
 * Included by clients.c, departure.c.
 *
 * Each attempt is a turn, also one that fails: so those that serve keep their order. One that did
 * not answer is passed over until worker_has_answered(); when no other is left, it is tried all the
 * same.
 */
#ifndef SOCKPROXY_TARGETS_H
#define SOCKPROXY_TARGETS_H

#include "worker.h"

/* Whose turn it is, of those that this client has not tried; its turn is over then. False when
 * there is none. */
bool take_turn(struct workers *all, struct client *client, struct address *target);

/* A client that was counted there has gone, or goes elsewhere. */
void leave_target(struct workers *all, struct service *service, const struct address *address);

/* Whether there is one that is not silent, and that this client has not tried. */
bool has_another(struct workers *all, const struct client *client);

/* The attempt has failed by this errno, or FAILURE_TIME_OUT. Whether its target is passed over from
 * now on, which is told. */
bool has_fallen_silent(struct worker *worker, const struct attempt *attempt, int number);

/* Whether its target is one that is passed over. */
bool is_silent(struct workers *all, const struct attempt *attempt);

#endif
