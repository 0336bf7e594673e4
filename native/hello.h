/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a client says before it has an upstream, as far as its service wants to know it: by the
 * PROXY protocol, who it is; by TLS, whom it asks for.
 * Included by clients.c, departure.c.
 *
 * It is looked at where it lies, with MSG_PEEK: a hello goes on to the upstream as it came. A
 * header of the PROXY protocol is taken out, once all of it is there.
 */
#ifndef SOCKPROXY_HELLO_H
#define SOCKPROXY_HELLO_H

#include "worker.h"

/* Have `said` be who the client is, and call `done`, which may be before this returns. */
void hear_header(struct worker *worker, struct client *client, on_heard *done);

/* As hear_header(), but that its service be the one whose name it asks for; its own where that is
 * none of the routes. */
void hear_name(struct worker *worker, struct client *client, on_heard *done);

/* It is listened to no more, and `done` is not called. Twice is allowed. */
void stop_hearing(struct worker *worker, struct client *client);

#endif
