/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Rules that say which connections are meant: --allow, --deny and --filter. As abi/bypass.h, cffi
 * reads this file as well.
 * Included by abi/bypass.h, abi/packets.h, common/rules.h.
 */
#ifndef SOCKPROXY_ABI_RULES_H
#define SOCKPROXY_ABI_RULES_H

#include "abi/types.h"

/* Matches a socket of which either end has the address and either the port. */
struct rule {
	uint32_t deny;
	uint32_t first_port;
	uint32_t last_port;
	uint32_t only_ipv6; /* v4-mapped addresses are not meant, though they lie in its network */
	uint32_t prefix[4]; /* IPv4 is v4-mapped; network order */
	uint32_t mask[4];
};

struct rules {
	uint32_t count;	 /* how many rules there are */
	uint32_t allows; /* how many of them allow; if any, one must match */
	struct rule rule[32];
};

#endif
