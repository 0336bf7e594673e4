/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a bypass that only observes has found out of services. As abi/bypass.h, cffi reads this file
 * as well.
 * Included by bypass/maps.h.
 */
#ifndef SOCKPROXY_ABI_OBSERVED_H
#define SOCKPROXY_ABI_OBSERVED_H

#include "abi/types.h"

/* Where connections are accepted. */
struct place {
	uint32_t local[4]; /* IPv4 is v4-mapped; network order */
	uint32_t local_port;
	uint32_t reserved;
};

/* Connections there that have ended. */
struct observed {
	uint64_t connections;
	uint64_t paired; /* of these, with both ends in the bypass */
	uint64_t bytes;	 /* that paired ones carried, both ways */
	uint64_t rounds; /* how often the accepter sent after something had come, of paired ones */
};

#endif
