/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which service has a client, by the name that it asks for.
 * Included by hello.c, rules.c, service.c.
 */
#ifndef SOCKPROXY_ROUTES_H
#define SOCKPROXY_ROUTES_H

#include "worker.h"

/* Clients of `from` that ask for the name are those of `to` from now on. name: in small letters;
 * "*.example.org" is every name below that. 0, or -ENOMEM. */
int add_route(struct service *from, const char *name, struct service *to);

/* The one whose route has the name, or else most of its end; NULL: there is none. */
struct service *route_of(const struct service *from, const char *name);

void free_routes(struct service *service);

#endif
