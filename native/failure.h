/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An end of a pair has failed: what had come from it is delivered, and then the other is reset.
 * Included by channel.c, farewell.c, pair.c, redirect.c.
 */
#ifndef SOCKPROXY_FAILURE_H
#define SOCKPROXY_FAILURE_H

#include "connection.h"

/* Whether `end` has failed, by an error that stands in its socket. What had come from it before is
 * then on its way. */
bool check_error(struct worker *worker, struct end *end);

/* `end` has failed. What had come from it goes to the other end, and then a RST. */
void fail(struct worker *worker, struct end *end, const char *why, int had_fin);

/* `end` has failed, and the channel out of it has moved all that had come. had_fin: as of
 * fail_end(). */
void note_failure(struct worker *worker, struct end *end, const char *why, int had_fin);

/* What a pair comes to whose end has failed. */
const char *outcome_of(struct worker *worker, const struct end *end);

#endif
