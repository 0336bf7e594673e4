/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a bypass that only observes has found out of services. As abi/bypass.h, cffi reads this file
 * as well.
 * Included by bypass/maps.h.
 */
#ifndef SOCKPROXY_ABI_OBSERVED_H
#define SOCKPROXY_ABI_OBSERVED_H

#include "abi/types.h"

/* What a bypass would have gained by a connection. */
enum gain {
	GAIN_UNTOLD = 0,   /* it is not observed, or not by this end */
	GAIN_APART = 1,	   /* nothing: not both ends are in it, and fit */
	GAIN_BRIEF = 2,	   /* nothing: it had a request or two */
	GAIN_STREAM = 3,   /* nothing: what came between two answers was too much for a queue */
	GAIN_REQUESTS = 4, /* something */
};

/* `observed` of a struct connection: so many bits have its enum gain, and those above tell how
 * often it sent after something had come. */
enum { GAIN_BITS = 3 };

/* Where connections are accepted. */
struct place {
	uint32_t local[4]; /* IPv4 is v4-mapped; network order */
	uint32_t local_port;
	uint32_t reserved;
};

/* Connections there that have ended. */
struct observed {
	uint64_t apart; /* how many, by enum gain */
	uint64_t brief;
	uint64_t streams;
	uint64_t requests;
	uint64_t bytes;	  /* both ways, of those that are not apart */
	uint64_t answers; /* of these: how often the accepter sent after something had come */
};

#endif
