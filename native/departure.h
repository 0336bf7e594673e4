/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How clients go: refused, with a connection's end, or with the worker.
 * Included by arrivals.c, clients.c, search.c, table.c.
 */
#ifndef SOCKPROXY_DEPARTURE_H
#define SOCKPROXY_DEPARTURE_H

#include "connection.h"

/* One that was served has gone: there is room for another. own: the number of its upstream's among
 * the own connections; 0: it had none. */
void client_has_gone(struct worker *worker, uint32_t own);

/* As client_has_gone(), of one that had an upstream. */
void client_of_pair_has_gone(struct worker *worker, const struct pair *pair);

/* Say in news of NEWS_REFUSED who was, and why. number: an errno, or FAILURE_TIME_OUT. */
void describe_refusal(struct news *news, const struct client *client, enum rejection why,
		      int number);

/* Reset it and tell. number: as of describe_refusal(). */
void refuse(struct worker *worker, struct client *client, enum rejection why, int number);

/* As refuse(), and say what was the matter, in words that stay; NULL: nothing. */
void refuse_with(struct worker *worker, struct client *client, enum rejection why, int number,
		 const char *what);

/* Reset it, and tell nobody: the entry of the news is the caller's. */
void close_client(struct worker *worker, struct client *client);

/* Of the list of those that connect. */
void unlink_client(struct client *client);

/* It is none of its upstream's clients any more, and waits for no place. */
void leave(struct worker *worker, struct client *client);

#endif
