/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The time in which the kernel has one channel: its states REDIRECT and DRAIN. The rules are in
 * channel.h, which has the other states.
 * Included by channel.c, failure.c, life.c, pair.c, urgent.c.
 *
 * Each call does nothing in a state that it is not for. The kernel's refusals, where they are not
 * foreseen, end the pair.
 */
#ifndef SOCKPROXY_REDIRECT_H
#define SOCKPROXY_REDIRECT_H

#include "connection.h"

/* The channel's two sockets have slots: it has a struct direction. */
void enrol_channel(struct worker *worker, struct channel *channel);

/* PUMP to REDIRECT, on a psock that never had a strparser: NULL, or why that will never be. */
const char *start_redirect(struct worker *worker, struct channel *channel);

/* See to it that nothing is, or will be, redirected to the target; if it is so. */
bool pause_redirect(struct worker *worker, struct channel *channel);

/* Undo pause_redirect(). */
void resume_redirect(struct channel *channel);

/* Have the parser throw away what it is asked about from now on. */
void drop_in_kernel(struct channel *channel);

/* The parser may have held the channel: REDIRECT to DRAIN. */
void on_hold(struct worker *worker, struct channel *channel);

/* The source's FIN, or RST, has arrived, with everything before it. */
void on_end_of_source(struct worker *worker, struct channel *channel);

/* An urgent byte may have come to the source: if so, REDIRECT to DRAIN. */
void look_for_urgent(struct worker *worker, struct channel *channel);

/* DRAIN to PUMP, if nothing waits to be sent. */
void look_at_backlog(struct worker *worker, struct channel *channel);

/* Whether redirected bytes still wait to be sent. */
bool is_sending(struct worker *worker, struct channel *channel);

#endif
