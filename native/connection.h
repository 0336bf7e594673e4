/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A connection, from two descriptors to its end: the types. The calls are in pair.h, channel.h,
 * redirect.h, pump.h, joint.h.
 *
 * Who owns what:
 * - The worker's table owns each pair until it ends (end_pair()); then the list of those that are
 *   to be told, if anybody is, and that of the dead, which are freed before the loop looks for
 *   events again. So a pair that has ended is still there for whoever is in the midst of it: he
 *   looks at `outcome` after each call that may end it.
 * - A pair owns its two descriptors, and its slots in the kernel's maps, from its beginning to
 *   end_pair(). A pump owns a pipe while bytes are in it.
 * - Words (words.h) are the worker's, and good for as long as it lives.
 *
 * The loop's thread alone writes. Other threads read what a pair has done, under `table.lock`,
 * which the loop's thread takes where a pair comes into the table or leaves it, and when its last
 * counters are written: so they read counters that are a moment old, each of them whole.
 */
#ifndef SOCKPROXY_CONNECTION_H
#define SOCKPROXY_CONNECTION_H

#include "door.h"
#include "kernel.h"
#include "worker.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A connected, non-blocking TCP socket and its place in the sockmaps; or a Unix socket, which has
 * none. */
struct end {
	struct pair *pair;
	int fd;
	bool is_unix;
	int slot; /* -1: it is not enrolled */
	uint64_t cookie;
	const char *failed; /* why it has ended otherwise than by both FINs; NULL: it has not */
	bool had_fin;	    /* it has failed behind its FIN, which its reader is told then */
	bool fin_sent;
	bool in_targets;
};

/* One channel's bytes in user space's care. */
struct pump {
	int source, target;
	int pipe[2];	      /* -1: it has none now */
	unsigned char *ahead; /* bytes that were read, and go first; NULL: none */
	size_t ahead_at, ahead_end;
	unsigned char small[8];	 /* in its place without memory, and for one byte */
	size_t held, limit;	 /* bytes read and not yet written, and the most of them */
	int failure;		 /* the errno that the source ended with; 0 for a FIN */
	bool at_end;		 /* all that the source will ever give was read */
	bool urgent_waits;	 /* one has arrived (EPOLLPRI): look whether it is the next */
	bool sees_end;		 /* its FIN has come, and no urgent byte waits before that */
	bool is_urgent;		 /* what is held is one */
	bool from_unix, to_unix; /* of a Unix socket no byte is urgent */
	bool discards;		 /* what is not written yet is thrown away */
	_Atomic uint64_t pumped, discarded;
};

/* What one channel carries: see conversation.h. */
struct conversation {
	bool eager;
	int needed, seen;
	uint64_t answers;
	int64_t rest, rested_at, started_at;
};

/* What one channel waits for: see waits.h. */
struct waits {
	struct timer timer;
	int64_t wait;
	int yields;
	uint32_t for_space; /* bits of enum space_call */
};

/* The turn of the loop that one channel has, or has asked for: see turns.h. */
struct turn {
	struct channel *next, *before;
	bool used, asked;
	int parts; /* had of this turn */
};

/* What another thread reads of a channel's state: enum state, and why, in one value. */
typedef _Atomic uintptr_t phase;

/* One direction of a pair. */
struct channel {
	struct pair *pair;
	struct end *source, *target;
	struct channel *opposite;
	struct pump pump;
	struct conversation conversation;
	struct waits waits;
	struct turn turn;
	struct timer dropping;
	phase phase;
	uint64_t burst;
	bool refused; /* the kernel is not to be asked again */
	bool dropped;
	bool bulk; /* the last run moved much */
	/* Of one whose sockets are enrolled: redirect.h. NULL: they are not. */
	struct direction *_Atomic shared;
	bool fresh; /* the source's psock has had no strparser yet */
};

/* The last bytes from an end that has failed: see farewell.h. */
struct farewell {
	struct channel *last; /* NULL: none has failed */
	struct timer timer;
	int64_t wait, deadline;
	uint64_t seen_moved;
	int seen_left;
};

/* What goes past a pair: see joint.h. */
struct joint {
	struct circuit *circuit; /* NULL: it was not made, or is no more */
	uint64_t cookies[2];
	atomic_bool never;
	const char *_Atomic why_not;
	struct past last;
	bool drops[2]; /* forward, backward: once nothing goes past any more; and looks so far */
	struct timer timer;
	int looks;
};

struct pair {
	uint64_t number;
	struct pair *next, **link; /* in the table's list, or that of the dead */
	struct pair *hashed;	   /* the next one with the same hash */
	struct end client, upstream;
	struct two_addresses client_is, upstream_is;
	struct channel forward, backward;
	struct farewell farewell;
	struct joint joint;
	bool kernel;		 /* one is asked; false: it is relayed */
	uint32_t own;		 /* of a client's: its number among the own connections */
	struct service *service; /* of a client's; NULL: it was added */
	struct target *at;	 /* in whose load it is; NULL: in none */
	struct host *host;	 /* where that is counted; NULL: it is not */
	int64_t came, born;	 /* came: its client was accepted; 0: it was added */
	uint64_t seen_moved;	 /* of the idle time-out, with the next */
	int64_t seen_at;
	const char *outcome; /* NULL while it lives */
	struct pair_stats last;
};

#endif
