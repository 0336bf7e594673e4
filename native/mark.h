/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stopping the kernel where an urgent byte stands (RFC 9293, 3.8.5): at TCP's mark.
 * Included by redirect.c.
 *
 * tcp_read_sock() reads up to that byte and no further, and a strparser with it: no parser is
 * asked, nobody is woken, and what comes behind it waits. Only recv(2) goes past it.
 */
#ifndef SOCKPROXY_MARK_H
#define SOCKPROXY_MARK_H

#include "connection.h"

/* Where a socket's urgent byte is. */
enum mark {
	MARK_NOWHERE = 0,
	MARK_AHEAD = 1,
	MARK_REACHED = 2,
};

/*
 * Take the bytes of the channel's source back from the kernel, if an urgent one is the next of
 * them. Where it is further ahead, the parser holds what stands before it from now on, and the hold
 * is told as any other.
 *
 * enum mark, or a negative errno. -EOVERFLOW is the one case in which that is not exact: the next
 * urgent byte moves the mark just now, the strparser goes on without its programs, against rule 1
 * of channel.h, and drops what it takes.
 */
int stop_at_mark(struct worker *worker, struct channel *channel);

#endif
