// SPDX-License-Identifier: GPL-2.0-only
#include "rules.h"

#include "networks.h"
#include "routes.h"
#include "service.h"
#include "system.h"

#include <errno.h>
#include <string.h>

EXPORT int worker_set_networks(struct worker *worker, uint32_t number, enum network_list list,
			       const struct network *all, uint32_t count)
{
	struct service *service = service_of(worker, number);

	if (!service)
		return -EINVAL;
	switch (list) {
	case NETWORKS_ALLOWED:
		return set_networks(&service->allowed, all, count);
	case NETWORKS_DENIED:
		return set_networks(&service->denied, all, count);
	case NETWORKS_TRUSTED:
		return set_networks(&service->trusted, all, count);
	}
	return -EINVAL;
}

EXPORT int worker_limit_hosts(struct worker *worker, uint32_t number, uint32_t most,
			      int64_t interval, uint32_t burst)
{
	struct service *service = service_of(worker, number);

	if (!service || interval < 0 || (interval && !burst))
		return -EINVAL;
	service->most_of_host = most;
	service->host_interval = interval;
	service->host_burst = burst;
	return 0;
}

EXPORT int worker_limit_times(struct worker *worker, uint32_t number, int64_t idle_timeout,
			      int64_t lifetime)
{
	struct service *service = service_of(worker, number);

	if (!service)
		return -EINVAL;
	service->idle_timeout = idle_timeout;
	service->lifetime = lifetime;
	return 0;
}

EXPORT int worker_set_patience(struct worker *worker, uint32_t number, int64_t patience)
{
	struct service *service = service_of(worker, number);

	if (!service)
		return -EINVAL;
	service->patience = patience;
	return 0;
}

EXPORT int worker_route(struct worker *worker, uint32_t number, const char *name, uint32_t to)
{
	struct service *service = service_of(worker, number), *other = service_of(worker, to);

	return service && other ? add_route(service, name, other) : -EINVAL;
}

EXPORT int worker_only_route(struct worker *worker, uint32_t number)
{
	struct service *service = service_of(worker, number);

	if (!service)
		return -EINVAL;
	service->only_routes = true;
	return 0;
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
