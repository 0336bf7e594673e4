/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a worker tells, as plain data: a part of the door, which see.
 *
 * cffi reads this file: no macros but the guard.
 */
#ifndef SOCKPROXY_TOLD_H
#define SOCKPROXY_TOLD_H

#include <stdint.h>

/* AF_INET or AF_INET6, of which an IPv4 host has the first four bytes. port: in host order.
 * Of AF_UNIX: port: the number of its path, as worker_name_path() gave it; 0: it has none, as a
 * client, whose process `scope` is then, and its user the first four bytes of the host. */
struct address {
	uint16_t family;
	uint16_t port;
	uint32_t scope; /* of a link-local IPv6 address: the interface's index */
	uint8_t host[16];
};

enum news_kind {
	NEWS_READY = 1,	  /* a watched descriptor has `events`; of whom: `number` */
	NEWS_CHANGED = 2, /* a channel changes hands: `number`, `backward`, `state`, `why` */
	NEWS_REFUSED = 3, /* a client of `service` was reset: `rejection`, maybe `error` */
	NEWS_SILENT = 4,  /* nobody answered at `upstream.far` of `service`: it is passed over */
	NEWS_TRIED = 5,	  /* a trial, by its `number`, has ended with `error` */
	NEWS_SHORT = 6,	  /* accepting waits a moment, for want of what `error` says */
	NEWS_FAILED = 7,  /* an end has failed, the upstream's if `backward`: `number`, `why` */
	NEWS_ENDED = 8,	  /* a connection has ended, and is closed: `number`, `stats` */
};

/* Why a client was reset. */
enum rejection {
	REJECTED_NOT = 0,
	REJECTED_OWN = 1,	/* it is a connection of this worker that came back */
	REJECTED_NOT_MEANT = 2, /* it has no original destination */
	REJECTED_FAILED =
		3, /* `upstream.far` was the last to be tried; error 0: no answer in time */
	REJECTED_DENIED = 4,	/* by the networks that may be clients, or may not */
	REJECTED_TOO_MANY = 5,	/* others of its host are clients */
	REJECTED_TOO_OFTEN = 6, /* its host has had a client too short a time ago */
	REJECTED_SLOW = 7,	/* it has not said in time what is to be heard first */
	REJECTED_LEFT = 8,	/* it ended before it had said that */
	REJECTED_NONSENSE = 9,	/* what it said first is wrong: `why` */
	REJECTED_UNROUTED = 10, /* it asks for a name that has no upstreams, or for none */
	REJECTED_FULL = 11, /* it has waited for a place at an upstream, of which all are full */
	REJECTED_NO_TARGET = 12, /* no upstream takes new clients */
};

/* The two addresses of a socket. */
struct two_addresses {
	struct address near, far;
};

/* What a connection has done in one direction, in bytes unless it says otherwise. Words are the
 * worker's, and good for as long as it lives. */
struct channel_stats {
	uint32_t state; /* 0 pump, 1 redirect, 2 drain, 3 finished */
	const char *why;
	uint64_t redirected, redirected_skbs;
	uint64_t pumped;
	uint64_t passed, passed_skbs;
	uint64_t dropped, dropped_skbs;
	uint64_t lost, holds;
	uint64_t largest_backlog;
	uint64_t past, past_messages; /* went from the far end to the other without us */
};

struct pair_stats {
	uint64_t number;
	uint32_t service; /* 0 where it was added */
	struct two_addresses client, upstream;
	int64_t age, connecting; /* connecting: from its accept to its beginning; 0: it was added */
	const char *outcome;	 /* NULL: it lives */
	const char *why_not_past; /* "" where messages may go past us */
	struct channel_stats forward, backward;
};

/* Sums of the connections that have ended. */
struct totals {
	uint64_t pairs, reset;
	uint64_t redirected, pumped, dropped, holds, past;
};

enum reason_kind {
	REASON_OUTCOME = 0, /* how a connection has ended */
	REASON_FORWARD = 1, /* who has the bytes of one that lives, and why not the kernel */
	REASON_BACKWARD = 2,
	REASON_PAST = 3, /* why its messages do not go past us; "" where they may */
};

/* So many connections have this in common. state: as of struct channel_stats. */
struct reason {
	uint32_t what; /* enum reason_kind */
	uint32_t state;
	const char *why;
	uint64_t count;
};

/* Connections that have ended, by classes: lives of up to 1, 10, 100 ms, 1, 10 s, 1, 10 min, 1 h, 1
 * day, and longer ones; sizes of up to 100 bytes, each ten times the one before, 10 GB, and larger
 * ones. lived: the sum, in ns. carried: bytes, of both directions. The last of the outcomes stands
 * for all others. */
struct tally {
	uint64_t lives[10], sizes[10];
	uint64_t lived, carried;
	struct reason outcomes[24];
};

struct news {
	uint32_t kind; /* enum news_kind */
	uint32_t events;
	uint64_t number;
	int32_t error; /* an errno, or 0 */
	uint32_t rejection, service;
	uint32_t state, backward;
	const char *why;
	const struct pair_stats *stats; /* until worker_run() is called again */
	struct two_addresses client, upstream;
};

#endif
