// SPDX-License-Identifier: GPL-2.0-only
#include "proxy_protocol.h"

#include "address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define OVER_TCP4 0x11
#define OVER_TCP6 0x21
#define VERSION_2_PROXY 0x21
#define VERSION_2_LOCAL 0x20

static const unsigned char SIGNATURE[] = "\r\n\r\n\0\r\nQUIT\n"; /* without its last 0 */

/* Both of one family: IPv4 where both are, else IPv6, in which IPv4 is mapped. */
static int unify(struct address *one, struct address *other)
{
	struct address *both[] = {one, other};
	size_t each;

	if (one->family == AF_INET && other->family == AF_INET)
		return AF_INET;
	for (each = 0; each < 2; each++) {
		if (both[each]->family != AF_INET)
			continue;
		memmove(both[each]->host + 12, both[each]->host, 4);
		memset(both[each]->host, 0, 10);
		memset(both[each]->host + 10, 0xff, 2);
	}
	return AF_INET6;
}

static size_t write_text(int family, const struct address *from, const struct address *to,
			 unsigned char *into)
{
	char source[INET6_ADDRSTRLEN], target[INET6_ADDRSTRLEN];

	inet_ntop(family, from->host, source, sizeof(source));
	inet_ntop(family, to->host, target, sizeof(target));
	return (size_t)snprintf((char *)into, LONGEST_PREFACE, "PROXY TCP%c %s %s %u %u\r\n",
				family == AF_INET ? '4' : '6', source, target, from->port,
				to->port);
}

static size_t write_binary(int family, const struct address *from, const struct address *to,
			   unsigned char *into)
{
	size_t size = family == AF_INET ? 4 : 16, at = sizeof(SIGNATURE) - 1;
	uint16_t length = htons((uint16_t)(2 * size + 4)), port;

	memcpy(into, SIGNATURE, at);
	into[at++] = VERSION_2_PROXY;
	into[at++] = family == AF_INET ? OVER_TCP4 : OVER_TCP6;
	memcpy(into + at, &length, sizeof(length));
	at += sizeof(length);
	memcpy(into + at, from->host, size);
	memcpy(into + at + size, to->host, size);
	at += 2 * size;
	port = htons(from->port);
	memcpy(into + at, &port, sizeof(port));
	port = htons(to->port);
	memcpy(into + at + sizeof(port), &port, sizeof(port));
	return at + 2 * sizeof(port);
}

/* Of a client without an address: the upstream has to make do with that of its own connection. */
static size_t write_unknown(uint32_t version, unsigned char *into)
{
	static const char TEXT[] = "PROXY UNKNOWN\r\n";
	size_t at = sizeof(SIGNATURE) - 1;

	if (version == 1) {
		memcpy(into, TEXT, sizeof(TEXT) - 1);
		return sizeof(TEXT) - 1;
	}
	memcpy(into, SIGNATURE, at);
	into[at++] = VERSION_2_LOCAL;
	memset(into + at, 0, 3); /* of no family, and no bytes of addresses */
	return at + 3;
}

size_t write_preface(uint32_t version, const struct two_addresses *ends, unsigned char *into)
{
	struct address from = plain_address(&ends->far), to = plain_address(&ends->near);
	int family;

	if (from.family == AF_UNIX)
		return write_unknown(version, into);
	family = unify(&from, &to);
	return version == 1 ? write_text(family, &from, &to, into)
			    : write_binary(family, &from, &to, into);
}
