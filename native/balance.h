/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which of a service's targets is a client's: by turns, by load, or by where it comes from.
 * Included by queue.c, targets.c.
 *
 * All of it is under the lock of the workers, takes time in proportion to the targets, and needs no
 * memory. Left out are those that this client has tried, have no share, are full, or are down while
 * another is not. Those where nobody answers are for a client that has no other to try or to wait
 * for.
 */
#ifndef SOCKPROXY_BALANCE_H
#define SOCKPROXY_BALANCE_H

#include "worker.h"

/* The one that is next: its turn is over then, also where the attempt will fail, so that those that
 * serve keep their order. NULL: there is none. */
struct target *take_target(const struct client *client);

/* Whether one that it has not tried may have a place for it later. */
bool may_wait(const struct client *client);

/* Whether there is one that is not silent. */
bool has_answering(const struct client *client);

#endif
