// SPDX-License-Identifier: GPL-2.0-only
#include "networks.h"

#include "address.h"
#include "system.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int set_networks(struct networks *networks, const struct network *all, uint32_t count)
{
	struct network *copy = NULL;

	if (count) {
		copy = sys.realloc(NULL, count * sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, all, count * sizeof(*copy));
	}
	free(networks->all);
	*networks = (struct networks){.all = copy, .count = count};
	return 0;
}

static bool has_host(const struct network *network, const uint8_t host[16])
{
	uint32_t whole = network->bits / 8, rest = network->bits % 8;

	return !memcmp(network->first, host, whole) &&
	       (!rest || !((network->first[whole] ^ host[whole]) >> (8 - rest)));
}

bool is_among(const struct networks *networks, const struct address *address)
{
	uint32_t low = 0, high = networks->count, middle;
	uint8_t host[16];

	wide_host(address, host);
	while (low < high) { /* the last one that does not begin behind it */
		middle = low + (high - low) / 2;
		if (memcmp(networks->all[middle].first, host, sizeof(host)) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low && has_host(&networks->all[low - 1], host);
}

void wide_host(const struct address *address, uint8_t host[16])
{
	if (address->family == AF_INET)
		map_host(address->host, host);
	else
		memcpy(host, address->host, 16);
}
