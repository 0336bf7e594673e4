/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What packets of a proxy's connections carry, for who taps it: records of a ring buffer that he
 * has made. As abi/bypass.h, cffi reads this file as well.
 * Included by splice/packets.h.
 */
#ifndef SOCKPROXY_ABI_PACKETS_H
#define SOCKPROXY_ABI_PACKETS_H

#include "abi/rules.h"
#include "abi/types.h"

enum packet_way {
	WAY_SENT = 1,	  /* by the proxy, or by the kernel for it */
	WAY_RECEIVED = 2, /* by the proxy */
	WAY_TAKEN = 3,	  /* by the kernel, from a socket whose bytes it moves at that moment */
};

/* What the programs and who taps share. */
struct tapping {
	struct rules rules;
	uint64_t lost; /* records that the ring had no room for */
};

/* A packet of TCP, or a part of one. Addresses are in network order. */
struct packet {
	uint64_t when;	    /* CLOCK_MONOTONIC, ns */
	uint32_t source[4]; /* IPv4 is v4-mapped */
	uint32_t target[4];
	uint32_t source_port;
	uint32_t target_port;
	uint32_t number; /* sequence number of its first byte */
	uint32_t acknowledged;
	uint32_t flags; /* as the header of TCP has them */
	uint32_t window;
	uint32_t way;  /* enum packet_way */
	uint32_t size; /* bytes of `data` that are there */
	char data[4000];
};

#endif
