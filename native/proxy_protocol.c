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

#define BINARY_HEAD 16
#define BAD "bad PROXY header: "

static const char TEXT[] = "PROXY ";
#define TEXT_START (sizeof(TEXT) - 1)
static const unsigned char SIGNATURE[] = "\r\n\r\n\0\r\nQUIT\n"; /* without its last 0 */

/* Both of one family: IPv4 where both are, else IPv6, in which IPv4 is mapped. */
static int unify(struct address *one, struct address *other)
{
	struct address *both[] = {one, other};
	size_t each;

	if (one->family == AF_INET && other->family == AF_INET)
		return AF_INET;
	for (each = 0; each < 2; each++) {
		if (both[each]->family == AF_INET)
			map_host(both[each]->host, both[each]->host);
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
	static const char LINE[] = "PROXY UNKNOWN\r\n";
	size_t at = sizeof(SIGNATURE) - 1;

	if (version == 1) {
		memcpy(into, LINE, sizeof(LINE) - 1);
		return sizeof(LINE) - 1;
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

/* -- and read -- */

/* From 0 to 65535, in decimal, without more zeros than that. */
static bool read_port(const char *text, uint16_t *port)
{
	unsigned long value = 0;
	size_t each;

	for (each = 0; text[each] >= '0' && text[each] <= '9' && each < 5; each++)
		value = 10 * value + (unsigned long)(text[each] - '0');
	*port = (uint16_t)value;
	return each && !text[each] && value <= UINT16_MAX && (text[0] != '0' || each == 1);
}

/* line: "TCP4 192.0.2.1 192.0.2.2 56324 443", which is cut up. */
static bool read_ends(char *line, struct two_addresses *ends)
{
	struct address from = {.family = AF_INET}, to;
	char *words[5] = {line}, *at = line;
	int each;

	for (each = 1; each < 5; each++) {
		at = strchr(at, ' ');
		if (!at)
			return false;
		*at++ = 0;
		words[each] = at;
	}
	if (!strcmp(words[0], "TCP6"))
		from.family = AF_INET6;
	else if (strcmp(words[0], "TCP4") != 0)
		return false;
	to = from;
	if (inet_pton(from.family, words[1], from.host) != 1 ||
	    inet_pton(to.family, words[2], to.host) != 1 || !read_port(words[3], &from.port) ||
	    !read_port(words[4], &to.port))
		return false;
	*ends = (struct two_addresses){.near = to, .far = from};
	return true;
}

static enum hearing read_text(const unsigned char *bytes, size_t count, struct two_addresses *ends,
			      size_t *size, const char **what)
{
	static const char UNKNOWN[] = "UNKNOWN";
	size_t most = count < LONGEST_PREFACE - 1 ? count : LONGEST_PREFACE - 1, length;
	const unsigned char *end = memchr(bytes, '\r', most);
	char line[LONGEST_PREFACE];

	if (!end)
		return most < LONGEST_PREFACE - 1 ? HEARD_PART
						  : nonsense(what, BAD "its line has no end");
	length = (size_t)(end - bytes);
	if (length + 1 == most && most < LONGEST_PREFACE - 1)
		return HEARD_PART;
	if (length + 1 == most || end[1] != '\n' || memchr(bytes, 0, length))
		return nonsense(what, BAD "its line has no end");
	*size = length + 2;
	memcpy(line, bytes + TEXT_START, length - TEXT_START);
	line[length - TEXT_START] = 0;
	if (!strncmp(line, UNKNOWN, sizeof(UNKNOWN) - 1) &&
	    (!line[sizeof(UNKNOWN) - 1] || line[sizeof(UNKNOWN) - 1] == ' '))
		return HEARD_ALL;
	return read_ends(line, ends) ? HEARD_ALL
				     : nonsense(what, BAD "its line is not as it must be");
}

static enum hearing read_binary(const unsigned char *bytes, size_t count,
				struct two_addresses *ends, size_t *size, const char **what)
{
	struct address from = {0}, to = {0};
	size_t length, host;

	if (count < BINARY_HEAD)
		return HEARD_PART;
	if (bytes[12] >> 4 != 2)
		return nonsense(what, BAD "its version is none of 1 and 2");
	if ((bytes[12] & 0xf) > 1)
		return nonsense(what, BAD "it commands something unknown");
	length = (size_t)bytes[14] << 8 | bytes[15];
	*size = BINARY_HEAD + length;
	if (*size > LONGEST_HEADER)
		return nonsense(what, BAD "it is too long");
	if (count < *size)
		return HEARD_PART;
	if (bytes[12] != VERSION_2_PROXY || (bytes[13] != OVER_TCP4 && bytes[13] != OVER_TCP6))
		return HEARD_ALL; /* a check of its own, or a client of another kind */
	from.family = to.family = bytes[13] == OVER_TCP4 ? AF_INET : AF_INET6;
	host = bytes[13] == OVER_TCP4 ? 4 : 16;
	if (length < 2 * host + 4)
		return nonsense(what, BAD "it has no room for its addresses");
	bytes += BINARY_HEAD;
	memcpy(from.host, bytes, host);
	memcpy(to.host, bytes + host, host);
	bytes += 2 * host;
	from.port = (uint16_t)(bytes[0] << 8 | bytes[1]);
	to.port = (uint16_t)(bytes[2] << 8 | bytes[3]);
	*ends = (struct two_addresses){.near = to, .far = from};
	return HEARD_ALL;
}

/* Whether all there is of these bytes is as this begins. */
static bool begins(const unsigned char *bytes, size_t count, const void *start, size_t size)
{
	return !memcmp(bytes, start, count < size ? count : size);
}

enum hearing read_preface(const unsigned char *bytes, size_t count, struct two_addresses *ends,
			  size_t *size, const char **what)
{
	if (begins(bytes, count, SIGNATURE, sizeof(SIGNATURE) - 1))
		return read_binary(bytes, count, ends, size, what);
	if (!begins(bytes, count, TEXT, TEXT_START))
		return nonsense(what, "no PROXY header");
	return count < TEXT_START ? HEARD_PART : read_text(bytes, count, ends, size, what);
}
