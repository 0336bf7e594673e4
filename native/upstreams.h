/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The door of the native worker, of a service's upstreams: which there are, and who is at them.
 * Included by services.h.
 *
 * cffi reads this file: no macros but the guard.
 */
#ifndef SOCKPROXY_UPSTREAMS_H
#define SOCKPROXY_UPSTREAMS_H

#include "door.h"

#include <stdint.h>

/* One that clients may go to. share: of the clients, beside those of the others, 65536 at most; 0:
 * it has no new ones. most: clients at once, of all workers; 0: as many as come. down: it has none,
 * as long as another one is not. */
struct upstream {
	struct address address;
	uint32_t share, most, down;
};

/* Those of a service. Those that were silent and stay are silent still, and each keeps its clients,
 * also where it has gone meanwhile. From any thread. */
int worker_set_targets(struct worker *worker, uint32_t service, const struct upstream *given,
		       uint32_t count);

/* chosen: how many times it was a client's turn. gone: it is one no more, but for its clients. */
struct upstream_stats {
	struct address address;
	uint64_t chosen;
	uint32_t clients, gone;
};

/* Those of a service, `most` at most, and how many clients wait for a place. The answer is how many
 * there are. From any thread. */
uint32_t worker_read_targets(struct worker *worker, uint32_t service, struct upstream_stats *into,
			     uint32_t most, uint32_t *waiting);

#endif
