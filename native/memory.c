// SPDX-License-Identifier: GPL-2.0-only
#include "memory.h"

#include "system.h"

#include <string.h>

#define FIRST_ROOM 64

void *blank(size_t size)
{
	void *made = sys.realloc(NULL, size);

	return made ? memset(made, 0, size) : NULL;
}

void *with_room(void *all, size_t *room, size_t wanted, size_t size)
{
	size_t more = *room ? *room : FIRST_ROOM;

	while (more < wanted)
		more *= 2;
	if (more == *room)
		return all;
	all = sys.realloc(all, more * size);
	if (all)
		*room = more;
	return all;
}
