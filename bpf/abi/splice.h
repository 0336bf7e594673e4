/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the splice programs and user space both read in maps and in the ring buffer.
 * Included by splice/maps.h.
 *
 * cffi reads this file as well, and Python's enums are made from it: only enums, plain structs and
 * arrays may stand here, no attributes and no macros. hatch_build.py compares the layouts.
 */
#ifndef SOCKPROXY_ABI_SPLICE_H
#define SOCKPROXY_ABI_SPLICE_H

#include "abi/types.h"

/* What happens to the bytes of one direction. HOLD is zero so that a direction
 * nobody has set up leaves its bytes where they are: in TCP's receive queue. */
enum direction_action {
	ACTION_HOLD = 0,
	ACTION_REDIRECT = 1,
	ACTION_PASS = 2,
	ACTION_DROP = 3,
};

/* Why the parser stopped taking bytes from a socket. */
enum hold_reason {
	HELD_NOT = 0,
	HELD_BUDGET = 1,      /* the backlog takes as much memory as the budget allows */
	HELD_ON_REQUEST = 2,  /* the direction's action is ACTION_HOLD */
	HELD_TARGET_GONE = 3, /* the target is in no sockmap any more */
	HELD_PART_READ = 4,   /* this kernel would send again what was read of the skb before */
	HELD_TOO_LONG = 5,    /* the skb is longer than the socket's receive buffer */
	HELD_URGENT = 6,      /* an urgent byte is announced, or has come */
};

/*
 * One direction of a pair, at the slot of the socket that the bytes come from.
 *
 * User space writes action, target, budget, worker and owner. The parser and the verdict write the
 * rest, under the lock of the source socket, so that they never run twice at once for a direction.
 * Two fields have two writers: the programs set `held` and `anchored`, and user space clears them
 * while the programs take nothing: before it starts a direction, or once a direction that was
 * stopped has sent its backlog. User space clears the whole when it frees the slot.
 */
struct direction {
	uint32_t action;   /* enum direction_action */
	uint32_t target;   /* slot of the socket that the bytes go to */
	uint32_t budget;   /* bytes of memory that the backlog may take */
	uint32_t held;	   /* enum hold_reason of the last hold since the start */
	uint32_t anchored; /* anchor and queued hold for this start */
	uint32_t anchor;   /* the target's write_seq when queued was 0 */
	uint32_t queued;   /* bytes redirected since then, modulo 2^32 */
	uint32_t backlog;  /* the most memory that the backlog was seen to take, bytes */
	uint32_t overhead; /* memory of one skb in the backlog beyond its bytes: the largest */
	uint32_t worker;   /* who is told of its holds: the number of a ring buffer */
	uint64_t owner;	   /* cookie of the socket whose slot user space frees, not sock_ops */
	uint64_t redirected_bytes;
	uint64_t redirected_skbs;
	uint64_t passed_bytes;
	uint64_t passed_skbs;
	uint64_t dropped_bytes;
	uint64_t dropped_skbs;
	uint64_t lost_bytes; /* redirected to a target that had just gone */
	uint64_t holds;
};

/* A record of the ring buffer: the direction at this slot was held. */
struct hold_event {
	uint32_t slot;
	uint32_t reason; /* enum hold_reason */
};

/* What the inspect program sees of the socket in a slot: it is the packet that it runs on. */
struct inspection {
	uint32_t slot;	    /* written by user space, all others by the program */
	uint32_t found;	    /* 0: no socket is in this slot, and the others are stale */
	uint32_t state;	    /* of TCP, by the kernel's number: 1 is TCP_ESTABLISHED */
	uint32_t write_seq; /* next byte that a send will take */
	uint32_t snd_una;   /* first byte that the peer has not acknowledged */
	uint32_t rcv_nxt;
	uint32_t copied_seq;
	uint32_t backlog_skbs;	 /* skbs redirected to the socket and not yet sent */
	uint32_t retries;	 /* this kernel tries again to send a backlog */
	uint32_t parser_used;	 /* the socket's psock has had a stream parser before */
	uint32_t parser_working; /* the parser's work item is queued */
	uint32_t urgent;	 /* an urgent byte is announced, and not read */
	uint32_t had_fin;	 /* the peer's FIN has come */
};

/* How many workers may share the maps. */
enum { MOST_WORKERS = 256 };

/* What sock_ops did, counted for all sockets of the cgroup. */
struct enrolment {
	uint64_t enrolled;
	uint64_t no_slot;   /* all slots were taken */
	uint64_t refused;   /* the kernel would not add the socket to a map */
	uint64_t multipath; /* subflows of MPTCP, which must stay out */
};

#endif
