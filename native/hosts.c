// SPDX-License-Identifier: GPL-2.0-only
#include "hosts.h"

#include "address.h"
#include "memory.h"
#include "networks.h"
#include "system.h"

#include <stdlib.h>
#include <string.h>

#define MOST_AT_REST 65536 /* hosts without clients, of which an early one may come */
#define FIRST_ROOM 64
#define NETWORK_BYTES 8 /* of an IPv6 address */

/* -- the table -- */

static uint32_t hash_of(const struct host *host)
{
	return hash_bytes(hash_bytes(HASH_OF_NOTHING, host->name, sizeof(host->name)),
			  &host->service, sizeof(host->service));
}

static struct host **place_of(const struct hosts *hosts, const struct host *host)
{
	return &hosts->hashed[hash_of(host) & (hosts->room - 1)];
}

static struct host *find(const struct hosts *hosts, const struct host *like)
{
	struct host *host;

	if (!hosts->room)
		return NULL;
	for (host = *place_of(hosts, like); host; host = host->hashed)
		if (host->service == like->service &&
		    !memcmp(host->name, like->name, sizeof(like->name)))
			return host;
	return NULL;
}

/* As many places as there are hosts. */
static int make_room(struct hosts *hosts)
{
	struct hosts grown = {.room = hosts->room ? 2 * hosts->room : FIRST_ROOM};
	struct host *host, **place;
	uint32_t each;

	if (hosts->count < hosts->room)
		return 0;
	grown.hashed = blank(grown.room * sizeof(struct host *));
	if (!grown.hashed)
		return -1;
	for (each = 0; each < hosts->room; each++) {
		while ((host = hosts->hashed[each])) {
			hosts->hashed[each] = host->hashed;
			place = place_of(&grown, host);
			host->hashed = *place;
			*place = host;
		}
	}
	free(hosts->hashed);
	hosts->hashed = grown.hashed;
	hosts->room = grown.room;
	return 0;
}

static void forget(struct hosts *hosts, struct host *host)
{
	struct host **place = place_of(hosts, host);

	while (*place != host)
		place = &(*place)->hashed;
	*place = host->hashed;
	hosts->count--;
	free(host);
}

/* -- those at rest, in the order in which their last client went -- */

static void begin_rest(struct hosts *hosts, struct host *host)
{
	host->after = NULL;
	host->before = hosts->last_at_rest;
	*(host->before ? &host->before->after : &hosts->first_at_rest) = host;
	hosts->last_at_rest = host;
	hosts->at_rest++;
}

static void end_rest(struct hosts *hosts, struct host *host)
{
	*(host->before ? &host->before->after : &hosts->first_at_rest) = host->after;
	*(host->after ? &host->after->before : &hosts->last_at_rest) = host->before;
	hosts->at_rest--;
}

/* A few of those by which nothing is known any more, or one, where they are too many. */
static void clean_up(struct hosts *hosts, int64_t moment)
{
	struct host *host;
	int each;

	for (each = 0; each < 4 && (host = hosts->first_at_rest); each++) {
		if (host->next_at > moment && hosts->at_rest < MOST_AT_REST)
			return;
		end_rest(hosts, host);
		forget(hosts, host);
	}
}

/* -- clients -- */

static struct host like(const struct service *service, const struct address *address)
{
	struct address plain = plain_address(address);
	struct host host = {.service = service->number};

	wide_host(&plain, host.name);
	if (plain.family != AF_INET)
		memset(host.name + NETWORK_BYTES, 0, sizeof(host.name) - NETWORK_BYTES);
	return host;
}

static struct host *add(struct hosts *hosts, const struct host *like)
{
	struct host *host, **place;

	if (make_room(hosts))
		return NULL;
	host = blank(sizeof(*host));
	if (!host)
		return NULL;
	*host = *like;
	place = place_of(hosts, host);
	host->hashed = *place;
	*place = host;
	hosts->count++;
	begin_rest(hosts, host);
	return host;
}

/* The generic cell rate algorithm, of ITU-T I.371: `next_at` is when the next client would come, if
 * all kept the interval; one may come earlier by as many intervals as may come at once. */
static enum rejection take(const struct service *service, struct host *host, int64_t moment)
{
	int64_t interval = service->host_interval;

	if (service->most_of_host && host->clients >= service->most_of_host)
		return REJECTED_TOO_MANY;
	if (!interval)
		return REJECTED_NOT;
	if (host->next_at - moment > interval * (service->host_burst - 1))
		return REJECTED_TOO_OFTEN;
	host->next_at = (host->next_at > moment ? host->next_at : moment) + interval;
	return REJECTED_NOT;
}

struct host *enter_host(struct workers *all, const struct service *service,
			const struct address *address, enum rejection *why)
{
	struct host wanted = like(service, address), *host;
	struct hosts *hosts = &all->hosts;
	int64_t moment = now();

	pthread_mutex_lock(&all->lock);
	clean_up(hosts, moment);
	host = find(hosts, &wanted);
	if (!host)
		host = add(hosts, &wanted);
	*why = host ? take(service, host, moment) : REJECTED_FAILED;
	if (*why)
		host = NULL;
	else if (!host->clients++)
		end_rest(hosts, host);
	pthread_mutex_unlock(&all->lock);
	return host;
}

void leave_host(struct workers *all, struct host *host)
{
	pthread_mutex_lock(&all->lock);
	if (!--host->clients)
		begin_rest(&all->hosts, host);
	pthread_mutex_unlock(&all->lock);
}

void free_hosts(struct hosts *hosts)
{
	struct host *host;
	uint32_t each;

	for (each = 0; each < hosts->room; each++) {
		while ((host = hosts->hashed[each])) {
			hosts->hashed[each] = host->hashed;
			free(host);
		}
	}
	free(hosts->hashed);
}
