// SPDX-License-Identifier: GPL-2.0-only
#include "admission.h"

#include "hosts.h"
#include "networks.h"

enum rejection admit(struct workers *all, struct client *client)
{
	const struct service *service = client->attempt.service;
	const struct address *from = &client->said.far;
	enum rejection why;

	if (is_among(&service->denied, from))
		return REJECTED_DENIED;
	if (service->allowed.count && !is_among(&service->allowed, from))
		return REJECTED_DENIED;
	if (!service->most_of_host && !service->host_interval)
		return REJECTED_NOT;
	client->host = enter_host(all, service, from, &why);
	return why;
}

void dismiss(struct workers *all, struct host *host)
{
	if (host)
		leave_host(all, host);
}
