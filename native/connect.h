/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One connection to an upstream, from its socket to its answer; and trials, which are that alone.
 * Included by accept.c, clients.c, departure.c, search.c.
 */
#ifndef SOCKPROXY_CONNECT_H
#define SOCKPROXY_CONNECT_H

#include "worker.h"

#define SHORTAGE_PAUSE (50 * 1000000LL) /* ns until it is tried again: nobody tells of memory */

/* What may be had a moment later: descriptors of the process or the system, or memory. */
bool is_shortage(int number);

/* Connect to `target`, and call `done`, which may be before this returns. The attempt's socket is
 * whoever's is told then: taken with take_socket(), or closed by cancel_attempt(). */
void begin_attempt(struct worker *worker, struct attempt *attempt, const struct address *target,
		   on_attempt *done);

/* Close its socket, if it has one, with a RST; call nobody. Twice is allowed. */
void cancel_attempt(struct worker *worker, struct attempt *attempt);

/* The socket of an attempt that was answered is the caller's now, and so is the number `own`. */
int take_socket(struct attempt *attempt);

/* End all trials. */
void end_trials(struct worker *worker);

#endif
