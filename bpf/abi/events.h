/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of a bypass tell of sockets while somebody listens: records of ring buffers,
 * each made by its listener. As abi/bypass.h, cffi reads this file as well.
 * Included by bypass/events.h, bypass/maps.h, bypass/tap.h.
 */
#ifndef SOCKPROXY_ABI_EVENTS_H
#define SOCKPROXY_ABI_EVENTS_H

#include "abi/bypass.h"

/* What happened to a socket. */
enum event_kind {
	EVENT_ENROLLED = 1,  /* its connection was established; why it stays plain, if it does */
	EVENT_PAIRED = 2,    /* the same, of an accepter whose opener is on this host as well */
	EVENT_LEFT_OUT = 3,  /* the same, but it is not enrolled: see bypass/worth.h */
	EVENT_BEGAN = 4,     /* its program has sent the first message past TCP */
	EVENT_FELL_BACK = 5, /* and, for the first time since, one by TCP */
	EVENT_LEFT = 6,	     /* it was taken out of the sockmap, and stays plain */
	EVENT_CLOSED = 7,    /* its connection has ended: its counters are what they will be */
};

/* Slots of those who are written for: so many for those who listen to events, and one for a tap,
 * which has a slot for its rules among the settings, too. */
enum { MOST_LISTENERS = 4, TAP_SLOT = 4, SLOTS = 5, TAP_RULES = 2 };

/* Who has each slot, with a ring buffer in `rings` by the same number. */
struct listeners {
	uint64_t any;	       /* not 0: one of those who listen to events may be there */
	uint64_t until[SLOTS]; /* CLOCK_MONOTONIC, ns; 0: nobody has the slot */
	uint64_t lost[SLOTS];  /* records that its ring had no room for */
};

/* One record: the socket as it was then. Addresses are in network order. */
struct event {
	uint64_t when; /* CLOCK_MONOTONIC, ns */
	uint64_t cookie;
	uint64_t peer; /* cookie of the other end; 0: none is known */
	uint64_t cgroup;
	uint64_t bytes_sent; /* by TCP */
	struct traffic sent;
	uint32_t local[4]; /* IPv4 is v4-mapped */
	uint32_t remote[4];
	uint32_t local_port;
	uint32_t remote_port;
	uint32_t kind;	  /* enum event_kind */
	uint32_t role;	  /* enum end_role */
	uint32_t plain;	  /* enum plain_reason */
	uint32_t traits;  /* enum end_trait */
	uint32_t netns;	  /* inode of the network namespace */
	uint32_t process; /* that connects or sends; 0: it is not known */
	char program[16]; /* the name of that process */
};

/* A piece of a message that a socket sent, past TCP or by it. Addresses are in network order. */
struct tapped {
	uint64_t when;	   /* CLOCK_MONOTONIC, ns */
	uint64_t at;	   /* bytes that the socket had sent before */
	uint32_t local[4]; /* IPv4 is v4-mapped */
	uint32_t remote[4];
	uint32_t local_port;
	uint32_t remote_port;
	uint32_t by_tcp; /* not past it */
	uint32_t size;	 /* bytes of `data` that are there */
	char data[4000];
};

#endif
