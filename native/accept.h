/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The listening sockets, and when they are listened to.
 * Included by arrivals.c, clients.c.
 *
 * There are as many clients as there may be: others wait in the sockets' backlog, and so they do
 * for a moment when descriptors or memory are scarce.
 */
#ifndef SOCKPROXY_ACCEPT_H
#define SOCKPROXY_ACCEPT_H

#include "worker.h"

/* Accept from now on, if there is room for one more, and nothing is scarce. */
void begin_accepting(struct worker *worker);

#endif
