// SPDX-License-Identifier: GPL-2.0-only
#include "routes.h"

#include "system.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int add_route(struct service *from, const char *name, struct service *to)
{
	uint32_t count = from->routes_count;
	size_t size = strlen(name) + 1;
	struct route *routes = sys.realloc(from->routes, (count + 1) * sizeof(*routes));
	char *copy;

	if (!routes)
		return -ENOMEM;
	from->routes = routes;
	copy = sys.realloc(NULL, size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, name, size);
	routes[count] = (struct route){.name = copy, .service = to};
	from->routes_count++;
	return 0;
}

/* How much of the name the route has: all of it counts for more than any end of it. */
static size_t match(const char *route, const char *name)
{
	size_t size, end;

	if (!strcmp(route, name))
		return SIZE_MAX;
	if (route[0] != '*')
		return 0;
	size = strlen(name);
	end = strlen(route + 1); /* with the dot: something must be in its place */
	return size > end && !strcmp(name + size - end, route + 1) ? end : 0;
}

struct service *route_of(const struct service *from, const char *name)
{
	struct service *found = NULL;
	size_t best = 0, each_matches;
	uint32_t each;

	for (each = 0; name[0] && each < from->routes_count; each++) {
		each_matches = match(from->routes[each].name, name);
		if (each_matches > best) {
			best = each_matches;
			found = from->routes[each].service;
		}
	}
	return found;
}

void free_routes(struct service *service)
{
	uint32_t each;

	for (each = 0; each < service->routes_count; each++)
		free(service->routes[each].name);
	free(service->routes);
}
