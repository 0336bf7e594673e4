/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the clients of some listening sockets go, and how.
 * Included by accept.c, connect.c, rules.c, targets.c, workers.c.
 */
#ifndef SOCKPROXY_SERVICE_H
#define SOCKPROXY_SERVICE_H

#include "worker.h"

/* By its number; NULL: there is none. */
struct service *service_of(const struct worker *worker, uint32_t number);

void free_services(struct workers *all);

#endif
