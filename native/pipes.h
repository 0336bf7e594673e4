/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Empty pipes, kept for the next pump: most pumps run for a moment.
 * Included by door.c, pump.c.
 */
#ifndef SOCKPROXY_PIPES_H
#define SOCKPROXY_PIPES_H

#include "worker.h"

/* An empty pipe, its read end and its write end. False when there is none to be had now. */
bool take_pipe(struct worker *worker, int pipe[2]);

/* One with bytes in it is closed, and they with it. */
void give_pipe_back(struct worker *worker, int pipe[2], bool empty);

/* A descriptor that swallows whatever is written to it. 0, or a negative errno. */
int open_sink(struct worker *worker);

void close_pipes(struct worker *worker);

#endif
