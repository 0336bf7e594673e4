/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: which services are worth enrolling for. To enter and to leave a
 * sockmap costs a connection some microseconds, which one with a single request, or
 * one to another host, never gets back. Both ends remember it, and try again now and then:
 * the opener of the service that it opens to, the accepter of its own address.
 */
#ifndef SOCKPROXY_SERVICE_H
#define SOCKPROXY_SERVICE_H

#include "bypass_maps.h"
#include "ends.h"

#define LOSSES 8     /* in a row, after which connections are left plain */
#define TRY_AGAIN 64 /* every so many of them */

static __always_inline void name_service(struct service *name, const struct two_ends *ends,
					 __u32 role)
{
	int opener = role == ROLE_OPENER;

	__builtin_memcpy(name->address, opener ? ends->remote : ends->local, sizeof(name->address));
	name->port = opener ? ends->remote_port : ends->local_port;
	name->role = role;
}

static __always_inline int is_worth_enrolling(const struct two_ends *ends, __u32 role)
{
	struct service_record *record;
	struct service name;

	name_service(&name, ends, role);
	record = bpf_map_lookup_elem(&services, &name);
	if (!record || record->losses < LOSSES)
		return 1;
	return ++record->skipped % TRY_AGAIN == 0;
}

static __always_inline void remember_service(const struct two_ends *ends, __u32 role, int gained)
{
	struct service_record fresh = {.losses = 1}, *record;
	struct service name;

	name_service(&name, ends, role);
	record = bpf_map_lookup_elem(&services, &name);
	if (!record) {
		if (!gained)
			bpf_map_update_elem(&services, &name, &fresh, BPF_NOEXIST);
	} else if (gained) {
		record->losses = 0;
	} else if (record->losses < LOSSES) {
		record->losses++;
	}
}

#endif
