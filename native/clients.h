/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Clients, from their accept until they have an upstream, which search.h finds.
 * Included by accept.c, arrivals.c, departure.c, search.c.
 *
 * One that cannot be served is told as TCP would tell it: by a RST, which SO_LINGER of the
 * listening socket makes of close(2).
 */
#ifndef SOCKPROXY_CLIENTS_H
#define SOCKPROXY_CLIENTS_H

#include "connection.h"

/* A client that has not come yet, and an entry of the news that is kept for it; NULL without
 * memory. */
struct client *new_client(struct worker *worker);

/* Of one that did not come. The entry is the caller's. */
void free_client(struct client *client);

/* It has come, with a descriptor and its addresses, and is one of `load`: connect it, and tell what
 * became of it. */
void serve_client(struct worker *worker, struct client *client);

/* Its attempt was answered: it is a connection from now on, or refused where there is no memory. */
void pair_client(struct worker *worker, struct client *client);

#endif
