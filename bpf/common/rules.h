/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether rules mean a connection.
 * Included by bypass/policy.h, splice/packets.h.
 */
#ifndef SOCKPROXY_RULES_H
#define SOCKPROXY_RULES_H

#include "abi/rules.h"
#include "common/ends.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define RULES (sizeof(((struct rules *)0)->rule) / sizeof(struct rule))

/* 1 for IPv4. Here and in the loop of are_denied() nothing branches on an address: the verifier
 * would walk both ways of each branch for each rule. */
static __always_inline __u32 is_mapped(const __u32 *address)
{
	__u64 other = address[0] | address[1] | (address[2] ^ MAPPED);

	asm volatile("" : "+r"(other));
	return (other - 1) >> 63;
}

static __always_inline int in_prefix(const struct rule *rule, const __u32 *address, __u32 mapped)
{
	return !(((address[0] ^ rule->prefix[0]) & rule->mask[0]) |
		 ((address[1] ^ rule->prefix[1]) & rule->mask[1]) |
		 ((address[2] ^ rule->prefix[2]) & rule->mask[2]) |
		 ((address[3] ^ rule->prefix[3]) & rule->mask[3]) | (mapped & rule->only_ipv6));
}

static __always_inline int in_ports(const struct rule *rule, __u32 port)
{
	return port >= rule->first_port && port <= rule->last_port;
}

static __always_inline int matches(const struct rule *rule, const struct two_ends *ends,
				   __u32 local_mapped, __u32 remote_mapped)
{
	return (in_prefix(rule, ends->local, local_mapped) ||
		in_prefix(rule, ends->remote, remote_mapped)) &&
	       (in_ports(rule, ends->local_port) || in_ports(rule, ends->remote_port));
}

/* Whether a rule denies the connection, or none allows it where some allow. */
static __always_inline int are_denied(const struct rules *rules, const struct two_ends *ends)
{
	__u32 local_mapped = is_mapped(ends->local), remote_mapped = is_mapped(ends->remote);
	int allowed = 0;
	__u32 number;

	for (number = 0; number < RULES; number++) {
		if (number >= rules->count)
			break;
		if (!matches(&rules->rule[number], ends, local_mapped, remote_mapped))
			continue;
		if (rules->rule[number].deny)
			return 1;
		allowed = 1;
	}
	return rules->allows && !allowed;
}

#endif
