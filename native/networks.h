/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lists of networks, to know a client by where it comes from.
 * Included by admission.c, hello.c, hosts.c, rules.c, service.c.
 */
#ifndef SOCKPROXY_NETWORKS_H
#define SOCKPROXY_NETWORKS_H

#include "worker.h"

/* Have these, which are in order and do not overlap, in place of others. 0, or -ENOMEM. */
int set_networks(struct networks *networks, const struct network *all, uint32_t count);

bool is_among(const struct networks *networks, const struct address *address);

/* The host as IPv6 has it: of IPv4 the mapped one. */
void wide_host(const struct address *address, uint8_t host[16]);

#endif
