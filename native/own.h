/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The workers' own connections to upstreams, to know one that comes back as a client, to whichever
 * of them. All of one network namespace.
 * Included by clients.c, connect.c, departure.c, search.c.
 *
 * One to a Unix socket has no address, but comes from this process, which connects to no other
 * Unix socket but upstreams.
 *
 * Two of one place to another are known at once, when one has the port of another that is closed,
 * but whose end is not told yet. So each has a number of its own.
 */
#ifndef SOCKPROXY_OWN_H
#define SOCKPROXY_OWN_H

#include "worker.h"

/* A connection from `near` to `far` was begun: its number, or 0 without memory. */
uint32_t add_own(struct workers *all, const struct address *near, const struct address *far);

/* It is closed, or will be at once. 0 is allowed. */
void drop_own(struct workers *all, uint32_t number);

/* Whether it was connected to its own address. */
bool goes_to_itself(struct workers *all, uint32_t number);

/* Whether the client is one of these: it comes from the port of one of them, and goes to where that
 * went, or is redirected from there. */
bool comes_back(struct workers *all, int client, const struct two_addresses *ends);

#endif
