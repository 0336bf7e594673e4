// SPDX-License-Identifier: GPL-2.0-only
#include "service.h"

#include "memory.h"
#include "networks.h"
#include "routes.h"
#include "system.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct service *service_of(const struct worker *worker, uint32_t number)
{
	return number < worker->all->services_count ? worker->all->services[number] : NULL;
}

EXPORT int worker_serve(struct worker *worker, int64_t timeout, int original, enum balance balance)
{
	struct workers *all = worker->all;
	uint32_t count = all->services_count;
	struct service **services = sys.realloc(all->services, (count + 1) * sizeof(*services));
	struct service *service;

	if (!services)
		return -ENOMEM;
	all->services = services;
	service = blank(sizeof(*service));
	if (!service)
		return -ENOMEM;
	service->number = count;
	service->timeout = timeout;
	service->original = original;
	service->balance = balance;
	service->idle_timeout = service->lifetime = -1;
	services[count] = service;
	all->services_count++;
	return (int)count;
}

static void free_service(struct service *service)
{
	uint32_t each;

	for (each = 0; each < service->targets_count + service->gone_count; each++)
		free(service->targets[each]);
	free(service->targets);
	free(service->options);
	free(service->allowed.all);
	free(service->denied.all);
	free(service->trusted.all);
	free_routes(service);
	free(service);
}

void free_services(struct workers *all)
{
	uint32_t each;

	for (each = 0; each < all->services_count; each++)
		free_service(all->services[each]);
	free(all->services);
}
