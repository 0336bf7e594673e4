/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who may be a client of a service: by networks, and by how many of one host there are.
 * Included by clients.c, departure.c.
 */
#ifndef SOCKPROXY_ADMISSION_H
#define SOCKPROXY_ADMISSION_H

#include "worker.h"

/* A client whose address is known: REJECTED_NOT, where it may be one, or why not. One that may is
 * counted until dismiss(). */
enum rejection admit(struct workers *all, struct client *client);

/* A client's host has one less. NULL is allowed. */
void dismiss(struct workers *all, struct host *host);

#endif
