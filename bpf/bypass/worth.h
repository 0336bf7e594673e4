/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which services are worth enrolling for.
 * Included by bypass/join.h, bypass/part.h.
 *
 * To enter and to leave a sockmap costs a connection some microseconds, which one with a single
 * request, or one to another host, never gets back. While many such connections come in a row both
 * ends leave them out: the opener those to the service, the accepter those to its own address.
 * A second later they try again.
 *
 * An opener that stays plain for what its program is, or does, never gains; but others that connect
 * to the same service may. So the connections of such openers are counted apart. To find out which
 * an opener is costs more than all else that is done for a connection which is left out: the one
 * that was found last is known by its number. (Another process that has its number next, or the
 * same with another program, is left out as well for what is left of that second.)
 */
#ifndef SOCKPROXY_SERVICE_H
#define SOCKPROXY_SERVICE_H

#include "bypass/maps.h"
#include "common/cast.h"
#include "common/ends.h"
#include "common/kernel_tasks.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define LOSSES 8	     /* in a row, from which on connections are left out */
#define ROLE_PLAIN_OPENER 4  /* of a struct service, beside enum end_role */
#define ROLE_ANY_OPENER 8    /* the same */
#define MEMORY 1000000000ULL /* ns that a loss counts */

/* Whether a socket with this enum plain_reason is plain for what its program is, or does. */
static __always_inline int is_of_program(__u32 plain)
{
	return plain == PLAIN_PROGRAM || plain == PLAIN_BLOCKS || plain == PLAIN_UNPROVEN;
}

/* The service that a connection is to, as its end of this role (of a struct service) sees it. */
static __always_inline void name_service(struct service *name, const struct two_ends *ends,
					 __u32 role)
{
	int opener = role != ROLE_ACCEPTER;

	__builtin_memcpy(name->address, opener ? ends->remote : ends->local, sizeof(name->address));
	name->port = opener ? ends->remote_port : ends->local_port;
	name->role = role;
}

/* The process that connects. (Before Linux 6.10 sock_ops cannot call bpf_get_current_pid_tgid().)
 */
static __always_inline __u32 current_process(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	return LOAD(task, tgid);
}

/* The record of a service without gain, to which new connections are left out; NULL of any other.
 */
static __always_inline struct service_record *without_gain(const struct service *name)
{
	struct service_record *record = bpf_map_lookup_elem(&services, name);

	if (!record || record->losses < LOSSES || bpf_ktime_get_ns() - record->last > MEMORY)
		return NULL;
	return record;
}

/* Whether a new connection to its service is worth enrolling, for an accepter. */
static __always_inline int is_worth_accepting(const struct two_ends *ends)
{
	struct service name;

	name_service(&name, ends, ROLE_ACCEPTER);
	return !without_gain(&name);
}

/* Whether the connections that the current process opens to a service were left out a moment ago:
 * cheaper than is_worth_opening(). */
static __always_inline int is_opener_left_out(const struct two_ends *ends)
{
	struct service_record *record;
	struct service name;

	name_service(&name, ends, ROLE_ANY_OPENER);
	record = without_gain(&name);
	return record && record->opener == current_process();
}

/* From `last` on, for a second, all that the current process opens to the service is left out. */
static __always_inline void leave_opener_out(struct service *name, __u64 last)
{
	struct service_record fresh = {.losses = LOSSES, .last = last}, *record;

	fresh.opener = current_process();
	name->role = ROLE_ANY_OPENER;
	record = bpf_map_lookup_elem(&services, name);
	if (record)
		*record = fresh;
	else
		bpf_map_update_elem(&services, name, &fresh, BPF_NOEXIST);
}

/* Whether a new connection to its service is worth enrolling, for an opener in connect(2).
 * of_program: not 0 for one that is plain for its program, as all of its are; of_socket: for one
 * that is for this socket alone. */
static __always_inline int is_worth_opening(const struct two_ends *ends, __u32 of_program,
					    __u32 of_socket)
{
	struct service_record *record;
	struct service name;

	name_service(&name, ends, of_program | of_socket ? ROLE_PLAIN_OPENER : ROLE_OPENER);
	record = without_gain(&name);
	if (!record)
		return 1;
	if (of_program || !of_socket)
		leave_opener_out(&name, record->last);
	return 0;
}

/* A connection to its service has ended; gained: something was bypassed. */
static __always_inline void remember_service(const struct two_ends *ends, __u32 role, __u32 plain,
					     int gained)
{
	__u64 now = bpf_ktime_get_ns();
	struct service_record fresh = {.last = now, .losses = 1}, *record;
	struct service name;

	name_service(&name, ends, role == ROLE_OPENER && plain ? ROLE_PLAIN_OPENER : role);
	record = bpf_map_lookup_elem(&services, &name);
	if (!record) {
		if (!gained)
			bpf_map_update_elem(&services, &name, &fresh, BPF_NOEXIST);
		return;
	}
	if (gained || now - record->last > MEMORY)
		record->losses = 0;
	if (gained)
		return;
	record->losses++;
	record->last = now;
}

#endif
