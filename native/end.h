/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One socket of a pair, and what it has of the kernel.
 * Included by channel.c, failure.c, mark.c, pair.c, redirect.c.
 */
#ifndef SOCKPROXY_END_H
#define SOCKPROXY_END_H

#include "connection.h"

/* is: its addresses. */
void open_end(struct end *end, struct pair *pair, int fd, const struct two_addresses *is);

/* Have a slot; NULL, or why there is none. */
const char *enrol_end(struct worker *worker, struct end *end);

/* What the kernel sees of it: 1; 0 when it has no slot, or was reset; or a negative errno. */
int inspect_end(struct worker *worker, const struct end *end, struct inspection *seen);

/* It has failed. had_fin: what its error says; negative where its FIN is to be told as a RST.
 *
 * The error may say EPIPE although no FIN has come: if the kernel was sending redirected bytes,
 * sk_psock_backlog() may have taken what tcp_reset() had left, and the next send got EPIPE. So the
 * socket is asked, where it has a slot. 0, or a negative errno. */
int fail_end(struct worker *worker, struct end *end, const char *why, int had_fin);

/* Leave the sockmaps; what was redirected to the socket and not sent is lost. Twice is allowed. */
void leave_maps(struct worker *worker, struct end *end);

/* End our sending; a peer that is gone already has been told otherwise. */
void send_fin(struct end *end);

/* Leave, and close the socket: with a RST, or after what was sent has arrived. */
void close_end(struct worker *worker, struct end *end, bool reset);

#endif
