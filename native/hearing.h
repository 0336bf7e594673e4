/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What there is so far of something that is said first.
 * Included by hello.c, proxy_protocol.h, server_name.h.
 */
#ifndef SOCKPROXY_HEARING_H
#define SOCKPROXY_HEARING_H

enum hearing {
	HEARD_PART,
	HEARD_ALL,
	HEARD_NONSENSE,
};

/* what: is the matter, in words that stay. */
static inline enum hearing nonsense(const char **what, const char *why)
{
	*what = why;
	return HEARD_NONSENSE;
}

#endif
