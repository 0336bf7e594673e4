/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Looks at all connections, twice a second, for those that have rested or lived for too long.
 * Included by accept.c, life.c.
 */
#ifndef SOCKPROXY_SWEEP_H
#define SOCKPROXY_SWEEP_H

#include "worker.h"

/* From now on. 0, or -ENOMEM. Twice is allowed. */
int begin_sweeps(struct worker *worker);

#endif
