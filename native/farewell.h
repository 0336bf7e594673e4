/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a failed end leaves behind: what had come from it is delivered before its reset is.
 * Included by failure.c, pair.c.
 *
 * TCP lets what has arrived be read, and then tells of the reset. So does a proxy only if it reads
 * that to its end, waits until the other end has acknowledged it, and resets it then: a RST takes
 * along what its sender has not had acknowledged.
 */
#ifndef SOCKPROXY_FAREWELL_H
#define SOCKPROXY_FAREWELL_H

#include "connection.h"

/* An end has failed; `last` is the channel out of it. */
void begin_farewell(struct pair *pair, struct channel *last);

/* Whether all has been delivered, and acknowledged, or nothing for long: the pair is reset then. If
 * not, look again. */
void look_at_farewell(struct worker *worker, struct pair *pair);

#endif
