/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The door of the native worker: what sockproxy/ calls, and what it is told.
 *
 * Descriptors, addresses and limits go in; news come out, as plain data. Nothing is called back.
 * All functions belong to the thread that runs the worker, or come before it runs or after. Those
 * that say so are of all workers that share with it.
 * Times are in nanoseconds. Functions that can fail answer 0, or a negative errno.
 *
 * cffi reads this file: no macros but the guard.
 */
#ifndef SOCKPROXY_DOOR_H
#define SOCKPROXY_DOOR_H

#include "told.h"

#include <stdint.h>

struct worker;

/* Whose turn it is, of the targets of a service. */
enum balance {
	BALANCE_TURNS = 0,  /* one after another */
	BALANCE_LEAST = 1,  /* the one with the fewest clients; of equal ones, one after another */
	BALANCE_SOURCE = 2, /* the same for all clients of one host, as long as it answers */
};

/* -- the loop -- */

/* mate: one of the workers whose limits, options, targets and clients it shares, of which none runs
 * yet; NULL: it is the first. NULL, and errno, when there is none to be had. */
struct worker *worker_new(struct worker *mate);

/* Close what is the worker's own: what is watched is its owner's, and clients are reset. When none
 * of the workers runs any more. */
void worker_free(struct worker *worker);

/* By a thread that is about to fork, and then in the parent: keep the table of connections as it is
 * meanwhile, while another thread may run the worker. */
void worker_before_fork(struct worker *worker);
void worker_after_fork(struct worker *worker);

/* In the child: close what is its own, without a word to the other ends, which are the parent's.
 * Memory stays, since the thread that ran the worker may have been in the midst of something. */
void worker_abandon(struct worker *worker);

/* Tell of the descriptor's epoll `events`, with `number`, until worker_unwatch(). */
int worker_watch(struct worker *worker, int fd, uint32_t events, uint64_t number);

/* The descriptor must still be open. Twice is allowed. */
void worker_unwatch(struct worker *worker, int fd);

/* Serve until there are news, `wait` has passed (negative: for ever) or a signal has come. The
 * answer is how many of them are written to `into`, which has room for `most`. */
uint32_t worker_run(struct worker *worker, int64_t wait, struct news *into, uint32_t most);

/* -- clients -- */

/* Of all workers, before they run: so many clients at once. */
void worker_limit_clients(struct worker *worker, uint32_t most);

/* One more service of all workers, from the first one's thread: where the clients of some listening
 * sockets go. Its number, from 0 up, or a negative errno. timeout: of each attempt to connect.
 * original: upstreams are where clients meant to go before a REDIRECT, and not targets. */
int worker_serve(struct worker *worker, int64_t timeout, int original, enum balance balance);

/* Accept from this listening, non-blocking socket, for the service and all workers: the one that is
 * woken accepts, and the one with the fewest clients has them. From each worker's thread. One that
 * is listened to already is that service's from now on. It stays its owner's, who closes it after
 * worker_unlisten() or worker_listen_no_more() of each. */
int worker_listen(struct worker *worker, uint32_t service, int fd);

/* Accept nobody from this socket any more. Twice is allowed. */
void worker_unlisten(struct worker *worker, int fd);

/* Accept nobody any more. Twice is allowed. */
void worker_listen_no_more(struct worker *worker);

/* Those that live, and those refused so far, of all workers. From any thread. */
uint32_t worker_clients(const struct worker *worker);
uint64_t worker_refused(const struct worker *worker);

/* Reset the clients that have no upstream yet, and end all trials. */
void worker_close_clients(struct worker *worker);

/* -- upstreams -- */

/* The address of a Unix socket's path, of all workers and for as long as they live: without the 0
 * at its end; an abstract one begins with a 0. From any thread. */
int worker_name_path(struct worker *worker, const void *path, uint32_t size, struct address *into);

/* The path that has this number: its size, 108 at most; 0: none has. From any thread. */
uint32_t worker_read_path(struct worker *worker, uint32_t number, void *into);

/* upstreams.h has those of a service. */

/* It answers again, for all workers. From any thread. */
void worker_has_answered(struct worker *worker, uint32_t service, const struct address *address);

/* Connect there once, and tell how that ended. */
int worker_try(struct worker *worker, uint32_t service, const struct address *address,
	       uint64_t number);

/* Tell nothing of this trial any more. Twice is allowed. */
void worker_forget_trial(struct worker *worker, uint64_t number);

/* -- connections -- */

struct direction;
struct inspection;
struct kernel;
struct circuit;

/* budget: bytes per direction that may lie between the two sockets, plus TCP's own buffers.
 * eager: redirect whatever comes. idle_timeout: negative for none. most_pipes: of all workers;
 * negative for as many as the system gives. Once, before there are connections. */
int worker_limit(struct worker *worker, uint64_t budget, int eager, int64_t idle_timeout,
		 int most_pipes);

/* Have a kernel for the connections that begin from now on. Once; it stays its owner's, who frees
 * it after worker_end_all(). */
int worker_use(struct worker *worker, struct kernel *kernel);

/* Why there is none. */
void worker_tell_why_not(struct worker *worker, const char *why);

/* The bypasses in which the connections that begin from now on may be joined, and why there are
 * none. They stay their owner's, who may let go of them. */
int worker_set_circuits(struct worker *worker, struct circuit *const *circuits, uint32_t count,
			const char *why_none);

/* What of connections is told, from now on: bits. */
enum interest {
	INTEREST_CHANGED = 1,
	INTEREST_FAILED = 2,
	INTEREST_ENDED = 4,
};
void worker_tell(struct worker *worker, uint32_t interest);

/* Two connected, non-blocking TCP sockets. ahead: bytes that were read from them. why_not_past: why
 * their conversation must not be short-circuited; NULL: it may. */
struct addition {
	int client_fd, upstream_fd;
	const void *client_ahead, *upstream_ahead;
	uint64_t client_size, upstream_size;
	const char *why_not_past;
};

/* Move bytes between the two, which are the worker's from then on, unless it fails. */
int worker_add(struct worker *worker, const struct addition *added, uint64_t *number);

/* Nothing happens to a connection that has ended. */
void worker_drop(struct worker *worker, uint64_t number, int backward);
void worker_abort(struct worker *worker, uint64_t number, const char *why);

/* The counters of one, as they are: -ESRCH when it has ended. */
int worker_stats(struct worker *worker, uint64_t number, struct pair_stats *into);

uint32_t worker_live(const struct worker *worker);

/* From any thread: the sums, and those that live, `most` at most, in the order in which they began.
 * The answer is how many there are. */
uint32_t worker_read(struct worker *worker, struct totals *ended, struct pair_stats *into,
		     uint32_t most);

/* From any thread: what those that have ended have in common, and those that live, which have
 * `most` reasons at most; the last one stands for all others. */
void worker_tally(struct worker *worker, struct tally *ended, struct reason *live, uint32_t most);

/* From any thread: the sums of those that have ended, and of those that live. */
void worker_sum(struct worker *worker, struct totals *ended, struct totals *live);

/* Reset all, as "closed", and let go of the kernel; worker_take_news() has their ends then. */
void worker_end_all(struct worker *worker);
uint32_t worker_take_news(struct worker *worker, struct news *into, uint32_t most);

/* -- what accelerates -- */

/* Descriptors of the loaded programs and maps, and what of these is mapped. */
struct sockmap_parts {
	int targets, sources, slots, free_slots, holds, inspect;
	int capacity;
	void *directions;
};

/* Make all slots free, of maps that are new. 0, or a negative errno. */
int sockmap_fill(const struct sockmap_parts *parts);

/* What one worker has of them, by its number from 0, which no other has. NULL, and errno. */
struct kernel *sockmap_new(const struct sockmap_parts *parts, uint32_t worker);
void sockmap_free(struct kernel *kernel);

/* What went past a connection. why: enum join_refusal. */
struct past {
	uint32_t why, busy, unread;
	uint64_t forward_bytes, forward_messages;
	uint64_t backward_bytes, backward_messages;
};

/* fd: of the program, which is the circuit's from now on. NULL, and errno. */
struct circuit *circuit_new(int fd);

/* It is detached. */
void circuit_stop(struct circuit *circuit);

/* Its maker needs it no more; it goes with the last connection that was joined in it. */
void circuit_put(struct circuit *circuit);

#endif
