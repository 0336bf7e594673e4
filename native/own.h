/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The worker's own connections to upstreams, to know one that comes back as a client. All of one
 * network namespace.
 * Included by clients.c, connect.c, pair.c.
 *
 * Two of one place to another are known at once, when one has the port of another that is closed,
 * but whose end is not told yet. So each has a number of its own.
 */
#ifndef SOCKPROXY_OWN_H
#define SOCKPROXY_OWN_H

#include "worker.h"

/* A connection from `near` to `far` was begun: its number, or 0 without memory. */
uint32_t add_own(struct own_list *list, const struct address *near, const struct address *far);

/* It is closed, or will be at once. 0 is allowed. */
void drop_own(struct own_list *list, uint32_t number);

/* Whether the client is one of these: it comes from the port of one of them, and goes to where that
 * went, or is redirected from there. */
bool comes_back(const struct own_list *list, int client, const struct two_addresses *ends);

#endif
