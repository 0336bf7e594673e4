/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What Linux's TCP sockets tell and take.
 * Included by channel.c, connect.c, end.c, failure.c, farewell.c, joint.c, life.c, mark.c, pair.c,
 * pump.c, redirect.c, sockmap.c, urgent.c, waits.c.
 */
#ifndef SOCKPROXY_SOCKETS_H
#define SOCKPROXY_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

/* enum in net/tcp_states.h */
#define ESTABLISHED 1
#define SYN_SENT 2
#define CLOSED 7

/* Wait until nobody holds the socket's lock; its TCP state, CLOSED also of one that is not TCP's.
 * tcp_get_info() takes the lock. What a BPF program is told before a fence, every run of it under
 * that lock obeys after the fence. */
int fence(int fd);

/* The socket's pending error, which this clears; 0 when there is none.
 *
 * sending: whether the kernel may be sending redirected bytes on it. SO_ERROR clears sk_err without
 * the socket's lock; a tcp_sendmsg_locked() that has just seen it set, and finds none in
 * sk_stream_error(), reports EPIPE, and sk_psock_backlog() gives up for good. A send of nothing
 * reports the error under the lock. (After our own FIN it would always be EPIPE, but then nobody
 * sends.) */
int take_error(int fd, bool sending);

/* Make the kernel look at what arrived before the socket was enrolled: tcp_set_rcvlowat() calls
 * data_ready, which wakes the strparser. */
void kick(int fd);

/* Whether a third of the send buffer is free, or the connection has failed. If not, epoll has an
 * edge of EPOLLOUT once it is: tcp_poll() has set SOCK_NOSPACE, and looked again after that, and so
 * tcp_check_space() calls sk_write_space, which a psock hands on. */
bool has_space(int fd);

/* Bytes sent, and the FIN, that the peer has not acknowledged. */
int unacknowledged(int fd);

/* Whether the next byte to be read is the urgent one; negative when the socket does not tell. */
int at_urgent_mark(int fd);

/* The number by which BPF knows the socket; never used again until reboot. 0, or a negative errno.
 */
int read_cookie(int fd, uint64_t *cookie);

/* The upper layer protocol that the kernel runs on the socket, such as "tls"; "" for none. */
void read_upper_protocol(int fd, char name[16]);

/* What was sent and its end still arrive. */
void close_in_order(int fd);

/* The peer is told by a RST. */
void close_with_reset(int fd);

#endif
