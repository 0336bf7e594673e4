// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client and a server, over TCP or AF_UNIX, that check every byte at its place.
 *
 *     pingpong serve WHERE [blocking]
 *     pingpong rr|stream|crr WHERE SIZE SECONDS [STREAMS] [blocking]
 *
 * WHERE: ADDRESS:PORT, or a path. rr: requests and answers of SIZE bytes. stream: writes of
 * SIZE bytes one way, and then the server's word for how many came. crr: connect, one request
 * and answer, close. One connection at a time, and STREAMS others beside it, each a stream of a
 * process of its own. They wait as servers do, in a level-triggered epoll for sockets in
 * non-blocking mode; or, blocking, in read(2) and write(2). The client prints JSON; the client ends
 * with a line on stderr and status 1 at the first wrong byte, the server closes the connection.
 *
 *     main.c      the command line, and what an error ends
 *     server.c    accepts and answers
 *     client.c    one measurement; beside.c: the streams beside it; latency.c: its percentiles;
 *                 seconds.c: how it went, second by second
 *     way.c       a connection whose bytes are checked
 *     wait.c      how sockets are waited for; address.c: where they are
 */
#ifndef PINGPONG_H
#define PINGPONG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#define MOST (1 << 20)	    /* bytes of a message */
#define STREAM 0	    /* the size that a client announces for a stream */
#define ACQUAINT (1U << 31) /* in the size that a client announces before anything is measured */
#define MOST_STREAMS 64 /* beside one measurement, and connections that a server has at a time */

/* What is done after an error: a client ends; a server goes on with its next connection, as the
 * error is the client's or the proxy's. */
extern void (*give_up)(void) __attribute__((noreturn));

/* Say which call failed and why, and give up. */
void fail(const char *what) __attribute__((noreturn));

/* -- address.c -- */

/* The address that WHERE means; how long it is. Ends the program when there is none. */
socklen_t parse(const char *where, struct sockaddr_storage *to);

/* -- wait.c -- */

/* From here on this process waits in an epoll of its own. A child calls it again: of an epoll that
 * processes share, each is told what is the others'. */
void wait_in_epoll(void);
int waits_in_epoll(void);

/* Prepare a socket that was just made, before it connects or accepts. */
void prepare(int fd);

/* From here on a read of the connected socket waits in the epoll. Closing takes it out. */
void watch(int fd);

ssize_t read_some(int fd, void *to, size_t size);
ssize_t write_some(int fd, const void *from, size_t size);

/* The next connection to a listener, or -1. */
int next_connection(int listener);

void no_delay(int fd);

/* -- way.c -- */

struct way {
	int fd;
	uint64_t sent, received;
};

void make_pattern(void);

/* Send the next `size` bytes of the pattern. */
void give(struct way *way, size_t size);

/* Up to `size` bytes, checked; how many, 0 at the end. */
size_t take_some(struct way *way, size_t size);

/* Whether all `size` bytes came; 0 when the connection ended before the first of them. */
int take(struct way *way, size_t size);

/* Read where nothing should be, to EAGAIN; not where reads block. */
void expect_no_more(struct way *way);

/* A number, which is not part of the pattern; 0 at the end. */
int read_number(int fd, void *to, size_t size);

/* -- server.c, client.c -- */

void serve(const char *where);

/* Measure for so many seconds, and print what was found. */
void measure(const char *mode, const char *where, uint32_t size, double seconds, int streams);

/* A new connection, which has announced the size of its messages. */
struct way dial(struct sockaddr_storage *to, socklen_t length, uint32_t size);

/* End a stream, and the program when fewer bytes arrived than were sent. */
void finish_stream(struct way *way);

/* -- beside.c -- */

/* Start so many streams, each in a process of its own; returns when all of them move bytes. */
void begin_streams(struct sockaddr_storage *to, socklen_t length, int count);

/* Bytes that so many streams have sent so far. */
uint64_t sent_beside(int count);

void end_streams(int count);

/* -- latency.c -- */

/* Take down one latency, in nanoseconds. */
void note(uint64_t spent);

/* The latency below which this share of `count` latencies is, in microseconds. */
double percentile(long count, double share);

/* -- seconds.c -- */

/* Take down that `total` was reached after so many nanoseconds; called in the order of time. */
void reach(uint64_t spent, uint64_t total);

/* Print how much each whole second had, as a list of JSON. */
void print_seconds(void);

#endif
