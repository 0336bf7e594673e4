/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Unix sockets (AF_UNIX) at either side: connections that are relayed.
 * Included by accept.c, channel.c, connect.c, workers.c.
 *
 * A struct address has no room for a path, so the workers keep those that they were told of, for
 * as long as they live, and addresses have their numbers.
 *
 * What is otherwise than with TCP: connect(2) is done at once, or refused, or has EAGAIN where the
 * backlog is full, of which nobody tells when it is no more. A client has no address, but a process
 * and a user. There is no RST: an end is told ECONNRESET where the other one closes with bytes
 * unread, and else an end of stream. What was sent stays to be read behind a close. An urgent byte
 * is not passed on as one.
 */
#ifndef SOCKPROXY_UNIX_SOCKET_H
#define SOCKPROXY_UNIX_SOCKET_H

#include "worker.h"

#include <sys/socket.h>

/* The sockaddr of an address whose path was told; the answer is its size. */
socklen_t to_unix_sockaddr(struct workers *all, const struct address *address,
			   struct sockaddr_storage *into);

/* Where a listening Unix socket is. 0, or a negative errno. */
int read_unix_near(struct workers *all, int fd, struct address *near);

/* Who has connected. Also has urgent bytes stay in their places (SO_OOBINLINE): an accepted Unix
 * socket inherits no options. 0, or the errno. */
int meet_unix_client(int fd, struct address *far);

/* Whether its other end is there: it may have shut down reading alone, and may send on. */
bool is_met(int fd);

void free_paths(struct workers *all);

#endif
