// SPDX-License-Identifier: GPL-2.0-only
#include "address.h"

#include "system.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define SO_ORIGINAL_DST 80 /* IP6T_SO_ORIGINAL_DST has the same number */

static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const uint8_t NOWHERE[16];

socklen_t to_sockaddr(const struct address *address, struct sockaddr_storage *into)
{
	struct sockaddr_in *four = (struct sockaddr_in *)into;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)into;

	memset(into, 0, sizeof(*into));
	into->ss_family = address->family;
	if (address->family == AF_INET) {
		four->sin_port = htons(address->port);
		memcpy(&four->sin_addr, address->host, sizeof(four->sin_addr));
		return sizeof(*four);
	}
	six->sin6_port = htons(address->port);
	six->sin6_scope_id = address->scope;
	memcpy(&six->sin6_addr, address->host, sizeof(six->sin6_addr));
	return sizeof(*six);
}

socklen_t size_of_family(int family)
{
	return family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

struct address from_sockaddr(const struct sockaddr_storage *sockaddr)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)sockaddr;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)sockaddr;
	struct address address = {.family = sockaddr->ss_family};

	if (address.family == AF_INET) {
		address.port = ntohs(four->sin_port);
		memcpy(address.host, &four->sin_addr, sizeof(four->sin_addr));
	} else {
		address.port = ntohs(six->sin6_port);
		address.scope = six->sin6_scope_id;
		memcpy(address.host, &six->sin6_addr, sizeof(six->sin6_addr));
	}
	return address;
}

static bool is_mapped(const struct address *address)
{
	return address->family == AF_INET6 && !memcmp(address->host, MAPPED, sizeof(MAPPED));
}

void map_host(const uint8_t four[4], uint8_t host[16])
{
	memmove(host + sizeof(MAPPED), four, 4); /* they may be its first bytes */
	memcpy(host, MAPPED, sizeof(MAPPED));
}

struct address plain_address(const struct address *address)
{
	struct address plain = {.family = address->family, .port = address->port};

	if (is_mapped(address)) {
		plain.family = AF_INET;
		memcpy(plain.host, address->host + sizeof(MAPPED), 4);
	} else {
		memcpy(plain.host, address->host, sizeof(plain.host));
	}
	return plain;
}

bool is_same_address(const struct address *one, const struct address *other)
{
	return one->family == other->family && one->port == other->port &&
	       one->scope == other->scope && !memcmp(one->host, other->host, sizeof(one->host));
}

bool is_any(const struct address *address)
{
	return !memcmp(address->host, NOWHERE, sizeof(NOWHERE));
}

bool is_loopback(const struct address *address)
{
	struct address plain = plain_address(address);

	if (plain.family == AF_INET)
		return plain.host[0] == 127;
	return !memcmp(plain.host, NOWHERE, 15) && plain.host[15] == 1;
}

int read_near(int fd, struct address *near)
{
	struct sockaddr_storage found;
	socklen_t size = sizeof(found);

	if (sys.getsockname(fd, (struct sockaddr *)&found, &size))
		return -errno;
	*near = from_sockaddr(&found);
	return 0;
}

uint32_t hash_bytes(uint32_t hash, const void *bytes, size_t size)
{
	const unsigned char *byte = bytes;

	while (size--)
		hash = (hash ^ *byte++) * 16777619U;
	return hash;
}

bool read_original(int fd, const struct address *near, struct address *original)
{
	struct address here = plain_address(near);
	bool four = here.family == AF_INET;
	struct sockaddr_storage found;
	socklen_t size = four ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

	memset(&found, 0, sizeof(found));
	if (sys.getsockopt(fd, four ? IPPROTO_IP : IPPROTO_IPV6, SO_ORIGINAL_DST, &found, &size))
		return false;
	found.ss_family = here.family;
	*original = from_sockaddr(&found);
	original->scope = 0;
	/* To connect to where it already is would be a loop through ourselves. */
	return !is_same_address(original, &here);
}
