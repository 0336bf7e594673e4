/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How many clients of a service come from one host, and how often.
 * Included by admission.c, workers.c.
 *
 * A host is one IPv4 address or one IPv6 network of 64 bits, all of which one machine may have; or
 * the user of a client by a Unix socket. It is remembered while it has clients, and then until its
 * next one would not be too early, unless so many others have come since that there is no room for
 * it.
 */
#ifndef SOCKPROXY_HOSTS_H
#define SOCKPROXY_HOSTS_H

#include "worker.h"

/* One more client of this address; its host, or NULL and why there may be none: one of enum
 * rejection, REJECTED_FAILED without memory. From any worker. */
struct host *enter_host(struct workers *all, const struct service *service,
			const struct address *address, enum rejection *why);

/* One of its clients has gone. From any worker. */
void leave_host(struct workers *all, struct host *host);

void free_hosts(struct hosts *hosts);

#endif
