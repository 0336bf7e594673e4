// SPDX-License-Identifier: GPL-2.0-only
#include "own.h"

#include "address.h"
#include "memory.h"
#include "system.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_ROOM 64 /* a power of two, as all are */

/* Of what a port of this host differs by. */
static uint32_t hash_of(const struct own_list *list, const struct address *near)
{
	uint32_t hash = hash_bytes(HASH_OF_NOTHING, near->host, sizeof(near->host));

	return hash_bytes(hash, &near->port, sizeof(near->port)) & (list->room - 1);
}

static struct own *own_by(const struct own_list *list, uint32_t number)
{
	return &list->all[number - 1];
}

static void hash_in(struct own_list *list, uint32_t number)
{
	uint32_t *head = &list->hashed[hash_of(list, &own_by(list, number)->near)];

	own_by(list, number)->next = *head;
	*head = number;
}

/* Twice as many. All is hashed anew, and nothing has changed where there is no memory. */
static bool grow(struct own_list *list)
{
	uint32_t room = list->room ? 2 * list->room : FIRST_ROOM, number;
	uint32_t *hashed = blank(room * sizeof(*hashed));
	struct own *all = hashed ? sys.realloc(list->all, room * sizeof(*all)) : NULL;

	if (!all) {
		free(hashed);
		return false;
	}
	free(list->hashed);
	list->hashed = hashed;
	list->all = all;
	list->room = room;
	for (number = 1; number <= list->count; number++)
		if (own_by(list, number)->used)
			hash_in(list, number);
	return true;
}

static uint32_t add(struct own_list *list, const struct address *near, const struct address *far)
{
	struct own *own;
	uint32_t number;

	if (!list->free && list->count == list->room && !grow(list))
		return 0;
	number = list->free ? list->free : ++list->count;
	own = own_by(list, number);
	if (list->free)
		list->free = own->next;
	own->near = plain_address(near);
	own->far = plain_address(far);
	if (is_any(&own->far)) /* to connect there is to connect to one's own address */
		memcpy(own->far.host, own->near.host, sizeof(own->far.host));
	own->used = true;
	hash_in(list, number);
	return number;
}

static void drop(struct own_list *list, uint32_t number)
{
	struct own *own = own_by(list, number);
	uint32_t *link;

	link = &list->hashed[hash_of(list, &own->near)];
	while (*link != number)
		link = &own_by(list, *link)->next;
	*link = own->next;
	own->used = false;
	own->next = list->free;
	list->free = number;
}

static bool is_own(const struct own_list *list, const struct address *near,
		   const struct address *far)
{
	uint32_t number = list->hashed[hash_of(list, near)];
	struct own *own;

	for (; number; number = own->next) {
		own = own_by(list, number);
		if (is_same_address(&own->near, near) && (!far || is_same_address(&own->far, far)))
			return true;
	}
	return false;
}

static bool is_one_that_comes_back(const struct own_list *list, int client,
				   const struct two_addresses *ends)
{
	struct address from = plain_address(&ends->far), to = plain_address(&ends->near);

	if (ends->far.family == AF_UNIX) /* of its process this is told, and it is no other's */
		return ends->far.scope == (uint32_t)getpid();
	if (!list->count || !is_own(list, &from, NULL))
		return false;
	if (is_own(list, &from, &to))
		return true;
	return read_original(client, &ends->near, &to) && is_own(list, &from, &to);
}

/* -- under the lock -- */

uint32_t add_own(struct workers *all, const struct address *near, const struct address *far)
{
	uint32_t number;

	pthread_mutex_lock(&all->lock);
	number = add(&all->own, near, far);
	pthread_mutex_unlock(&all->lock);
	return number;
}

void drop_own(struct workers *all, uint32_t number)
{
	if (!number)
		return;
	pthread_mutex_lock(&all->lock);
	drop(&all->own, number);
	pthread_mutex_unlock(&all->lock);
}

bool goes_to_itself(struct workers *all, uint32_t number)
{
	const struct own *own;
	bool does;

	pthread_mutex_lock(&all->lock);
	own = own_by(&all->own, number);
	does = is_same_address(&own->near, &own->far);
	pthread_mutex_unlock(&all->lock);
	return does;
}

bool comes_back(struct workers *all, int client, const struct two_addresses *ends)
{
	bool does;

	pthread_mutex_lock(&all->lock);
	does = is_one_that_comes_back(&all->own, client, ends);
	pthread_mutex_unlock(&all->lock);
	return does;
}
