// SPDX-License-Identifier: GPL-2.0-only
#include "service.h"

#include "memory.h"
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
	services[count] = service;
	all->services_count++;
	return (int)count;
}

EXPORT int worker_send_preface(struct worker *worker, uint32_t number, uint32_t version)
{
	struct service *service = service_of(worker, number);

	if (!service || version > 2)
		return -EINVAL;
	service->preface = version;
	return 0;
}

EXPORT int worker_set_option(struct worker *worker, uint32_t number, int level, int name,
			     const void *value, uint32_t size, int loopback)
{
	struct service *service = service_of(worker, number);
	struct option *options;

	if (!service || size > sizeof(options->value))
		return -EINVAL;
	options = sys.realloc(service->options, (service->options_count + 1) * sizeof(*options));
	if (!options)
		return -ENOMEM;
	service->options = options;
	options += service->options_count++;
	memset(options, 0, sizeof(*options));
	options->level = level;
	options->name = name;
	options->size = size;
	options->loopback = loopback;
	memcpy(options->value, value, size);
	return 0;
}

static void free_service(struct service *service)
{
	uint32_t each;

	for (each = 0; each < service->targets_count + service->gone_count; each++)
		free(service->targets[each]);
	free(service->targets);
	free(service->options);
	free(service);
}

void free_services(struct workers *all)
{
	uint32_t each;

	for (each = 0; each < all->services_count; each++)
		free_service(all->services[each]);
	free(all->services);
}
