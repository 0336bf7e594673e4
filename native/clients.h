/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Clients, from their accept until they have an upstream, which search.h finds.
 * Included by accept.c, arrivals.c, search.c, table.c.
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

/* Say in news of NEWS_REFUSED who was, and why. number: an errno, or FAILURE_TIME_OUT. */
void describe_refusal(struct news *news, const struct client *client, enum rejection why,
		      int number);

/* One that was served has gone: there is room for another. own: the number of its upstream's among
 * the own connections; 0: it had none. */
void client_has_gone(struct worker *worker, uint32_t own);

/* As client_has_gone(), of one that had an upstream. */
void client_of_pair_has_gone(struct worker *worker, const struct pair *pair);

/* It has come, with a descriptor and its addresses, and is one of `load`: connect it, and tell what
 * became of it. */
void serve_client(struct worker *worker, struct client *client);

/* Reset it, and tell. number: as of describe_refusal(). */
void refuse_client(struct worker *worker, struct client *client, enum rejection why, int number);

/* Its attempt was answered: it is a connection from now on, or refused where there is no memory. */
void pair_client(struct worker *worker, struct client *client);

/* It is none of its upstream's clients any more, and waits for no place. */
void leave_upstream(struct worker *worker, struct client *client);

#endif
