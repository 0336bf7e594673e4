/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is told to who runs the worker.
 * Included by accept.c, arrivals.c, clients.c, connect.c, departure.c, door.c, failure.c, life.c,
 * loop.c, pair.c, table.c, targets.c.
 */
#ifndef SOCKPROXY_NEWS_H
#define SOCKPROXY_NEWS_H

#include "worker.h"

/* So many fit beside those that are reserved, when all have been taken: what has come can be told,
 * and a connection that ends makes room, however short memory is. */
#define SPARE_NEWS 8

/* Have room for so many more. 0, or -ENOMEM. */
int have_room_for_news(struct worker *worker, size_t more);

/* A new last entry, blank but for its kind; NULL without memory. */
struct news *tell(struct worker *worker, enum news_kind kind);

/* Keep an entry for tell_reserved(), or give_up_reserved(). 0, or -ENOMEM. */
int reserve_news(struct worker *worker);

/* As tell(), with an entry that was reserved: never NULL. */
struct news *tell_reserved(struct worker *worker, enum news_kind kind);

void give_up_reserved(struct worker *worker);

/* Move the first of them, `most` at most; the answer is how many. */
uint32_t take_news(struct worker *worker, struct news *into, uint32_t most);

#endif
