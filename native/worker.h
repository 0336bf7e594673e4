/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a worker consists of: the types. The calls are in the headers of the rooms.
 *
 * Who owns what:
 * - The worker owns its epoll, its tables, and whatever hangs on them.
 * - A client is owned by the list of those that connect, from its accept until it is a pair's,
 * which has its two descriptors then, or is refused. Whoever takes a client out of the list frees
 * it.
 * - An attempt is part of a client or a trial; its descriptor is the attempt's while `fd` is not
 *   negative, and in the own connections (own.h) for as long, or longer by the number `own`.
 * - The workers of one proxy share a struct workers, which goes with the last of them. Its lock is
 * for a moment, in which nothing else is locked.
 * - Each client and each trial has an entry of the news reserved from its beginning on, so that its
 *   end can always be told.
 */
#ifndef SOCKPROXY_WORKER_H
#define SOCKPROXY_WORKER_H

#include "services.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default"))) /* what door.h declares */

/* -- the loop: loop.h, timers.h, news.h -- */

/* Told of the events of its descriptor. */
typedef void on_events(struct worker *worker, void *owner, uint32_t events);

/* Who is told of a descriptor's events: its number is the index. */
struct watch {
	on_events *handler; /* NULL: the reader of the news, by `number` */
	void *owner;
	uint64_t number;
	uint32_t generation; /* of who watches, so that an event that is late finds nobody */
	bool used;
};

typedef void on_time(struct worker *worker, void *owner);

/* A moment at which its owner is called, once. place: in the heap, from 1; 0: not set. */
struct timer {
	int64_t due;
	on_time *call;
	void *owner;
	size_t place;
	bool is_other; /* its owner has not reserved */
};

/* reserved: places that are kept for owners who must not fail; others: set without. */
struct timers {
	struct timer **heap;
	size_t count, room, reserved, others;
};

/* reserved: entries that are kept for those who will certainly have something to tell. */
struct news_list {
	struct news *all;
	size_t count, reserved, room;
};

/* -- connections to upstreams: connect.h, targets.h, own.h -- */

struct attempt;
struct client;

/* number: the errno; 0 for none; FAILURE_TIME_OUT for our own time-out. */
typedef void on_attempt(struct worker *worker, struct attempt *attempt, int number);

#define FAILURE_TIME_OUT (-1)

/* One connection that is being made to `target`, for as long as `timeout`. */
struct attempt {
	on_attempt *done;
	struct service *service;
	struct address target, near;
	int fd;	       /* -1: there is none now */
	uint32_t own;  /* its number among the own connections; 0: none */
	int64_t until; /* a shortage is waited out until then */
	struct timer timer;
};

/* From where and to where a connection of this worker goes. */
struct own {
	struct address near, far;
	uint32_t next; /* of those with the same hash, or that are free; 0: none */
	bool used;
};

/* Under the lock of the workers. */
struct own_list {
	struct own *all; /* from 1 */
	uint32_t *hashed;
	uint32_t room, count, free;
};

/* -- clients: accept.c, hello.h, hosts.h -- */

/* why: REJECTED_NOT, when all was heard. number: an errno, of REJECTED_FAILED. what: was the
 * matter, or was waited for, in words that stay; may be NULL. */
typedef void on_heard(struct worker *worker, struct client *client, enum rejection why, int number,
		      const char *what);

#define TRIED_INSIDE 4

struct client {
	struct client *next, **link; /* in the list of those that connect */
	struct attempt attempt;
	int fd;
	int64_t came;
	struct two_addresses ends;
	struct two_addresses said; /* the same, or what a PROXY header has said */
	bool introduced;	   /* by such a header */
	bool hears_name;
	on_heard *heard; /* NULL: it is not listened to */
	struct timer patience;
	struct host *host;     /* NULL: it is not counted there */
	struct address *tried; /* tried_inside, or memory of its own */
	uint32_t tried_count, tried_room;
	struct target *at;	 /* in whose load it is; NULL: in none */
	struct worker *waits_in; /* whose it is while it is in a queue; NULL: in none */
	struct queue *queue;
	struct client *behind, **ahead;
	struct address tried_inside[TRIED_INSIDE];
};

struct trial {
	struct trial *next, **link;
	struct attempt attempt;
	uint64_t number;
};

/* -- connections: connection.h, table.h, pipes.h, urgent.h -- */

#define SPARE_PIPES 64

struct pipes {
	int spare[SPARE_PIPES][2];
	int spare_count;
	int sink; /* swallows whatever is written to it */
};

/* Those that live, and the sums of those that have ended. */
struct table {
	pthread_mutex_t lock;
	struct pair *first, **end; /* in the order in which they began */
	struct pair **hashed;
	uint32_t room, count;
	struct totals ended;
	struct tally tally;
};

/* SIGURG as an event of the loop. */
struct urgent {
	int fd; /* of a signalfd; -1: none yet */
	int owner;
	int64_t not_before;
	struct timer timer;
};

/* -- Unix sockets: unix_socket.h -- */

/* As in struct sockaddr_un, without the 0 at its end. */
struct path {
	uint8_t size;
	char bytes[108];
};

/* -- what the workers of one proxy have in common: workers.h -- */

struct workers {
	/* of targets, hosts, own connections, paths, and of what each is handed */
	pthread_mutex_t lock;
	struct worker *first; /* the list of them: no change while one of them runs */
	uint32_t count;
	atomic_uint clients, paused; /* paused: workers that wait for there to be fewer clients */
	uint32_t most_clients;
	_Atomic uint64_t refused, last_number;
	atomic_int pipes;
	int most_pipes;	      /* negative: as many as the system gives */
	atomic_uint silences; /* so many times a target has fallen silent */

	struct path *paths; /* of Unix sockets, by number from 1: under the lock */
	uint32_t paths_count;
	struct service **services; /* by number; each stays as long as the workers */
	uint32_t services_count;
	struct own_list own;
	struct hosts hosts;
};

/* How a worker is told that there is something for it to look at. */
struct bell {
	int fd; /* an eventfd; -1: it is alone */
	atomic_bool rung, asleep;
};

struct worker {
	struct workers *all;
	struct worker *mate; /* the next one */
	struct bell bell;
	struct client *handed; /* by others: under their lock */
	struct queue placed;   /* those who had waited, and have a place now */
	atomic_uint load;      /* clients that are its own, or handed */

	int epoll;
	struct watch *watches;
	size_t watches_room;
	struct timers timers;
	struct news_list news;

	struct listener *listeners;
	size_t listeners_count;
	bool accepting, paused;
	struct timer shortage;
	struct client *connecting;
	bool leaving, leave_again; /* those who wait where nobody answers: leave_silent() */
	uint32_t seen_silences;
	struct trial *trials;

	struct kernel *kernel; /* NULL: connections are relayed */
	const char *why_not;
	struct circuit **circuits;
	uint32_t circuits_count;
	const char *why_no_circuits;
	pthread_mutex_t joints; /* of what a joint has of a circuit, and its last count */
	struct pair **by_slot;
	uint64_t budget;
	bool eager;
	int64_t idle_timeout;
	struct timer sweep;
	uint32_t interest; /* bits of enum interest */
	struct table table;
	struct pipes pipes;
	struct urgent urgent;
	struct channel *first_turn, *last_turn;
	struct pair *untold, *dead;
	struct word *words;
	const char *at_first, *at_end, *finished;
	const char *why_not_past[8]; /* by enum join_refusal */
};

#endif
