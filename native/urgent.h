/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Learning of urgent bytes that come for sockets which the kernel reads.
 * Included by door.c, redirect.c.
 *
 * A strparser has the place of the function that would wake epoll, and tells nobody of an urgent
 * byte (sk_psock_strp_data_ready()). But tcp_check_urg() sends SIGURG to the socket's owner. That
 * is the loop's thread alone, in which it is blocked and comes by a signalfd. A signalfd takes what
 * is sent to the whole process as well, and nothing tells the two apart: so a program that has a
 * handler for SIGURG is sent each of them again.
 */
#ifndef SOCKPROXY_URGENT_H
#define SOCKPROXY_URGENT_H

#include "connection.h"

/* Have look_for_urgent() called when an urgent byte comes to a socket, until that is closed. 0, or
 * a negative errno. */
int watch_urgent(struct worker *worker, int fd);

/* SIGURG stays blocked in the loop's thread. */
void close_urgent(struct worker *worker);

#endif
