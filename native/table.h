/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of connections: what each has done, in memory that every thread may read.
 * Included by door.c, life.c, loop.c, pair.c.
 *
 * The loop's thread alone writes it, where it moves the bytes. Who reads (`status`, `connections`)
 * asks nobody: a pair is read as it stands, and the lock keeps only its last moment apart, when
 * counters that lay in the kernel's maps are copied and the slot there becomes another's.
 */
#ifndef SOCKPROXY_TABLE_H
#define SOCKPROXY_TABLE_H

#include "connection.h"

/* A pair begins, and has a number. 0, or -ENOMEM. */
int add_to_table(struct worker *worker, struct pair *pair);

/* It ends: its last counters are written. By who has the lock. */
void take_from_table(struct worker *worker, struct pair *pair, const char *outcome);

/* It has ended, and is closed: tell whoever wants to know, or nobody. */
void tell_ended(struct worker *worker, struct pair *pair);

/* Of one that lives; NULL. */
struct pair *find_pair(const struct worker *worker, uint64_t number);

/* Free those that have ended and that nobody will ask for any more. */
void bury(struct worker *worker);

#endif
