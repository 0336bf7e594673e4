// SPDX-License-Identifier: GPL-2.0-only
#include "unix_socket.h"

#include "address.h"
#include "system.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define MOST_PATHS UINT16_MAX /* what an address has room for, as a port */

/* Of an address, by which those of one path are the same. Its hash is for a balance by source. */
static struct address address_of(const struct path *path, uint32_t number)
{
	struct address address = {.family = AF_UNIX, .port = (uint16_t)number};
	uint32_t hash = hash_bytes(HASH_OF_NOTHING, path->bytes, path->size);

	memcpy(address.host, &hash, sizeof(hash));
	return address;
}

/* -- under the lock -- */

static uint32_t find_path(const struct workers *all, const void *bytes, size_t size)
{
	uint32_t number;

	for (number = 1; number <= all->paths_count; number++)
		if (all->paths[number - 1].size == size &&
		    !memcmp(all->paths[number - 1].bytes, bytes, size))
			return number;
	return 0;
}

/* Its number, or a negative errno. */
static int keep_path(struct workers *all, const void *bytes, size_t size)
{
	uint32_t number = find_path(all, bytes, size), count = all->paths_count;
	struct path *paths;

	if (number)
		return (int)number;
	if (count == MOST_PATHS)
		return -ENOSPC;
	paths = sys.realloc(all->paths, (count + 1) * sizeof(*paths));
	if (!paths)
		return -ENOMEM;
	all->paths = paths;
	paths[count].size = (uint8_t)size;
	memcpy(paths[count].bytes, bytes, size);
	return (int)++all->paths_count;
}

static int name_path(struct workers *all, const void *bytes, size_t size, struct address *into)
{
	int number;

	if (!size || size > sizeof(all->paths->bytes))
		return -EINVAL;
	pthread_mutex_lock(&all->lock);
	number = keep_path(all, bytes, size);
	if (number > 0)
		*into = address_of(&all->paths[number - 1], (uint32_t)number);
	pthread_mutex_unlock(&all->lock);
	return number < 0 ? number : 0;
}

static uint32_t read_path(struct workers *all, uint32_t number, void *into)
{
	uint32_t size = 0;

	pthread_mutex_lock(&all->lock);
	if (number && number <= all->paths_count) {
		size = all->paths[number - 1].size;
		memcpy(into, all->paths[number - 1].bytes, size);
	}
	pthread_mutex_unlock(&all->lock);
	return size;
}

/* -- sockets -- */

socklen_t to_unix_sockaddr(struct workers *all, const struct address *address,
			   struct sockaddr_storage *into)
{
	struct sockaddr_un *at = (struct sockaddr_un *)into;
	uint32_t size;

	memset(into, 0, sizeof(*into));
	at->sun_family = AF_UNIX;
	size = read_path(all, address->port, at->sun_path);
	/* Of a path the 0 behind it is a part, of an abstract name it would be one byte more. */
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (at->sun_path[0] != 0));
}

int read_unix_near(struct workers *all, int fd, struct address *near)
{
	struct sockaddr_un found;
	socklen_t size = sizeof(found);
	size_t length;

	if (sys.getsockname(fd, (struct sockaddr *)&found, &size))
		return -errno;
	length = size - offsetof(struct sockaddr_un, sun_path);
	if (length && found.sun_path[0])
		length = strnlen(found.sun_path, length);
	return name_path(all, found.sun_path, length, near);
}

int meet_unix_client(int fd, struct address *far)
{
	struct ucred who = {0};
	socklen_t size = sizeof(who);
	int one = 1;

	if (sys.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) ||
	    sys.setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)))
		return errno;
	*far = (struct address){.family = AF_UNIX, .scope = (uint32_t)who.pid};
	memcpy(far->host, &who.uid, sizeof(who.uid));
	return 0;
}

bool is_met(int fd)
{
	struct pollfd asked = {.fd = fd};

	return RETRY(sys.poll(&asked, 1, 0)) == 0; /* neither POLLHUP nor POLLERR */
}

void free_paths(struct workers *all)
{
	free(all->paths);
}

/* -- the door -- */

EXPORT int worker_name_path(struct worker *worker, const void *path, uint32_t size,
			    struct address *into)
{
	return name_path(worker->all, path, size, into);
}

EXPORT uint32_t worker_read_path(struct worker *worker, uint32_t number, void *into)
{
	return read_path(worker->all, number, into);
}
