/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What connections have in common, counted: how long they lived, how much they carried, how they
 * ended, and why those that live are where they are.
 * Included by table.c.
 */
#ifndef SOCKPROXY_TALLY_H
#define SOCKPROXY_TALLY_H

#include "connection.h"

/* One that has ended. */
void tally_ended(struct tally *tally, const struct pair_stats *stats);

/* One more with this reason, among the `most` that there is room for; the last one is that of all
 * that had none. */
void tally_reason(struct reason *reasons, uint32_t most, uint32_t what, uint32_t state,
		  const char *why);

#endif
