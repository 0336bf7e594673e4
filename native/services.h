/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Services, what they know of clients, and where they listen: the types. The calls are in
 * service.h, targets.h, networks.h, routes.h, hosts.h, accept.h.
 */
#ifndef SOCKPROXY_SERVICES_H
#define SOCKPROXY_SERVICES_H

#include "door.h"
#include "rules.h"
#include "upstreams.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct option {
	int level, name;
	uint32_t size;
	bool loopback; /* only towards this host, and it may fail */
	unsigned char value[16];
};

/* Its fields are under the lock of the workers. One that is gone is kept while it has clients. */
struct target {
	struct address address;
	uint32_t share, most; /* of struct upstream, as the next */
	bool down;
	bool silent; /* nobody has answered there of late */
	bool gone;
	uint32_t load;	 /* clients that are there, or are being connected */
	int64_t credit;	 /* how far it lags behind its share: balance.c */
	uint64_t chosen; /* so many times */
};

struct client;

/* Clients, in the order in which they came: under the lock of the workers. */
struct queue {
	struct client *first, **last; /* last: where the next one is linked, of one that has some */
	uint32_t count;
};

struct networks {
	struct network *all;
	uint32_t count;
};

/* Where clients go that ask for this name. */
struct route {
	char *name;
	struct service *service;
};

/* Where the clients of some listening sockets go, and how. Its targets are under the lock of the
 * workers; the others do not change while one of these runs. */
struct service {
	uint32_t number;
	struct networks allowed, denied; /* none allowed: all are */
	struct networks trusted;	 /* who says first who the client is */
	uint32_t most_of_host;		 /* clients of one host at once; 0: any number */
	int64_t host_interval;		 /* between two of them; 0: it does not matter */
	uint32_t host_burst;		 /* so many may come without it, after a rest */
	int64_t patience;		 /* until all is said that is to be heard */
	struct route *routes;
	uint32_t routes_count;
	bool only_routes;
	int64_t idle_timeout, lifetime; /* of connections; negative: none of its own */
	struct option *options;		/* of the sockets to upstreams */
	size_t options_count;
	int64_t timeout; /* of each attempt */
	enum balance balance;
	uint32_t preface;	 /* version of the PROXY protocol; 0: none */
	bool original;		 /* upstreams are where clients meant to go before a REDIRECT */
	struct target **targets; /* and, behind them, those that are gone, but have a load */
	uint32_t targets_count, gone_count, turn;
	struct queue waiting; /* for a place: queue.h */
};

struct listener {
	int fd;
	struct service *service;
	struct address near;
	bool any; /* it listens at more addresses than one: those accepted have to be asked */
};

/* A host that has, or had of late, clients of a service. */
struct host {
	struct host *hashed;	     /* the next one with the same hash */
	struct host *before, *after; /* in the list of those at rest, which have no client now */
	uint8_t name[16];
	uint32_t service, clients;
	int64_t next_at; /* when the next client comes, if it keeps the interval */
};

/* Under the lock of the workers. */
struct hosts {
	struct host **hashed;
	uint32_t room, count, at_rest;
	struct host *first_at_rest, *last_at_rest;
};

#endif
