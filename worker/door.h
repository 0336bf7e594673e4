/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The door of the native worker: what sockproxy/worker/ calls, and what it is told.
 *
 * Descriptors, addresses and limits go in; news come out, as plain data. Nothing is called back.
 * All functions belong to the thread that runs the worker, or come before it runs or after.
 * Times are in nanoseconds. Functions that can fail answer 0, or a negative errno.
 *
 * cffi reads this file: no macros but the guard.
 */
#ifndef SOCKPROXY_DOOR_H
#define SOCKPROXY_DOOR_H

#include <stdint.h>

struct worker;

/* AF_INET or AF_INET6, of which an IPv4 host has the first four bytes. port: in host order. */
struct address {
	uint16_t family;
	uint16_t port;
	uint32_t scope; /* of a link-local IPv6 address: the interface's index */
	uint8_t host[16];
};

enum news_kind {
	NEWS_READY = 1,	    /* a watched descriptor has `events`; of whom: `number` */
	NEWS_CONNECTED = 2, /* a client has an upstream: both descriptors are the reader's now */
	NEWS_REFUSED = 3,   /* a client was reset: `refusal`, and where that tells more, `error` */
	NEWS_SILENT = 4,    /* nobody answered at `upstream.far`: it is passed over from now on */
	NEWS_TRIED = 5,	    /* a trial, by its `number`, has ended with `error` */
	NEWS_SHORT = 6,	    /* accepting waits a moment, for want of what `error` says */
};

enum refusal {
	REFUSAL_NONE = 0,
	REFUSAL_OWN = 1,       /* it is a connection of this worker that came back */
	REFUSAL_NOT_MEANT = 2, /* it has no original destination */
	REFUSAL_FAILED =
		3, /* `upstream.far` was the last to be tried; error 0: no answer in time */
};

/* The two addresses of a socket. */
struct two_addresses {
	struct address near, far;
};

struct news {
	uint32_t kind; /* enum news_kind */
	uint32_t events;
	uint64_t number;
	int32_t error; /* an errno, or 0 */
	uint32_t refusal;
	int32_t client_fd, upstream_fd;
	struct two_addresses client, upstream;
};

/* -- the loop -- */

/* NULL, and errno, when there is none to be had. */
struct worker *worker_new(void);

/* Close what is the worker's own: what is watched is its owner's, and clients are reset. */
void worker_free(struct worker *worker);

/* In a forked child: as worker_free(), without a word to the clients, who are the parent's. */
void worker_abandon(struct worker *worker);

/* Tell of the descriptor's epoll `events`, with `number`, until worker_unwatch(). */
int worker_watch(struct worker *worker, int fd, uint32_t events, uint64_t number);

/* The descriptor must still be open. Twice is allowed. */
void worker_unwatch(struct worker *worker, int fd);

/* Serve until there are news, `wait` has passed (negative: for ever) or a signal has come. The
 * answer is how many of them are written to `into`, which has room for `most`. */
uint32_t worker_run(struct worker *worker, int64_t wait, struct news *into, uint32_t most);

/* -- clients -- */

/* most: clients at once, until worker_release(). timeout: of each attempt to connect.
 * original: upstreams are where clients meant to go before a REDIRECT, and not targets. */
void worker_accept_as(struct worker *worker, uint32_t most, int64_t timeout, int original);

/* Accept from this listening, non-blocking socket. It stays its owner's, who closes it after
 * worker_listen_no_more(). */
int worker_listen(struct worker *worker, int fd);

/* Accept nobody any more. Twice is allowed. */
void worker_listen_no_more(struct worker *worker);

/* Those accepted that have not been released, and those refused so far. */
uint32_t worker_clients(const struct worker *worker);
uint64_t worker_refused(const struct worker *worker);

/* The client of NEWS_CONNECTED with this number has gone; refused: it was no connection. */
void worker_release(struct worker *worker, uint64_t number, int refused);

/* Reset the clients that have no upstream yet, and end all trials. */
void worker_close_clients(struct worker *worker);

/* -- upstreams -- */

/* An option of the sockets to upstreams; loopback: only to such, and it may fail. */
int worker_set_option(struct worker *worker, int level, int name, const void *value, uint32_t size,
		      int loopback);

/* All of them, taken in turn. Those that were silent and stay are silent still. */
int worker_set_targets(struct worker *worker, const struct address *addresses, uint32_t count);

/* It answers again. */
void worker_has_answered(struct worker *worker, const struct address *address);

/* Connect there once, and tell how that ended. */
int worker_try(struct worker *worker, const struct address *address, uint64_t number);

/* Tell nothing of this trial any more. Twice is allowed. */
void worker_forget_trial(struct worker *worker, uint64_t number);

#endif
