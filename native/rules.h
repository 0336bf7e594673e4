/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rules of a service: a part of the door, which see. All are told before it listens, by the
 * first worker's thread, and hold for all workers.
 *
 * cffi reads this file: no macros but the guard.
 */
#ifndef SOCKPROXY_RULES_H
#define SOCKPROXY_RULES_H

#include "door.h"

/* -- who may be a client -- */

/* bits: of `first`, which is an IPv6 host, or an IPv4 one as it is mapped there. */
struct network {
	uint8_t first[16];
	uint32_t bits;
};

enum network_list {
	NETWORKS_ALLOWED = 0, /* only these may be clients; none: all may */
	NETWORKS_DENIED = 1,  /* these may not, also if they are allowed */
	NETWORKS_TRUSTED = 2, /* these say first who the client is, by the PROXY protocol */
};

/* all: in order, and none in or before another. */
int worker_set_networks(struct worker *worker, uint32_t service, enum network_list list,
			const struct network *all, uint32_t count);

/* Of one host `most` clients at once (0: any number), and one in each `interval` (0: that does not
 * matter), but `burst` of them without one after a rest. */
int worker_limit_hosts(struct worker *worker, uint32_t service, uint32_t most, int64_t interval,
		       uint32_t burst);

/* Of its connections; negative for none, and of idle ones then what worker_limit() says. */
int worker_limit_times(struct worker *worker, uint32_t service, int64_t idle_timeout,
		       int64_t lifetime);

/* So long from its accept on a client may take to say what is to be heard first. */
int worker_set_patience(struct worker *worker, uint32_t service, int64_t patience);

/* Its clients that ask by TLS for this name have the targets, and the rules for these, of another
 * service. name: in small letters; "*.example.org" is every name below that. */
int worker_route(struct worker *worker, uint32_t service, const char *name, uint32_t to);

/* It has no targets of its own: clients without a route are reset. */
int worker_only_route(struct worker *worker, uint32_t service);

/* -- what upstreams are told -- */

/* Tell its upstreams first who each client is, by this version of the PROXY protocol. */
int worker_send_preface(struct worker *worker, uint32_t service, uint32_t version);

/* An option of its sockets to upstreams; loopback: only to such, and it may fail. */
int worker_set_option(struct worker *worker, uint32_t service, int level, int name,
		      const void *value, uint32_t size, int loopback);

#endif
