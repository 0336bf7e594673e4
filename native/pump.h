/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Moves bytes from socket to socket with splice(2): no byte enters this process. At most `limit` of
 * them are in a pipe.
 * Included by channel.c, pair.c.
 *
 * Where no pipe is to be had they are copied, a little at a time: to wait for a pipe would be to
 * wait for the readers of other connections, who may never read.
 *
 * An urgent byte is read by itself and sent as one, so that its mark stays where it was: splice(2)
 * reads up to it, and no further. recv(2) would read on, where the byte has come since epoll was
 * asked. Where bytes are copied it may go as one of them.
 */
#ifndef SOCKPROXY_PUMP_H
#define SOCKPROXY_PUMP_H

#include "connection.h"

/* ahead: bytes that were read from the source already; they go first. 0, or -ENOMEM. */
int open_pump(struct pump *pump, int source, int target, size_t limit, const void *ahead,
	      size_t size);

/* Whether bytes that were read from the source already wait to be moved. */
bool has_more(const struct pump *pump);

/* Read and write until one end blocks, or `rounds` are done, which answers 1; else 0, or a
 * negative errno: the target has failed. */
int run_pump(struct worker *worker, struct pump *pump, int rounds);

/* Give the pipe up, with what it holds. */
void close_pump(struct worker *worker, struct pump *pump);

#endif
