/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which connections the rules let a bypass touch: --allow and --deny.
 * Included by bypass/join.h, bypass/message.h, bypass/pacing.h, bypass/tap.h.
 */
#ifndef SOCKPROXY_POLICY_H
#define SOCKPROXY_POLICY_H

#include "bypass/maps.h"
#include "common/ends.h"
#include "common/rules.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Whether the rules of the struct settings `which` leave the connection out. Not inlined and
 * global, so that the verifier looks at it once for each program, not for each state it is called
 * in. */
__attribute__((noinline)) int is_denied_by(__u32 which, const struct two_ends *ends)
{
	struct settings *current;

	if (!ends)
		return 1;
	current = bpf_map_lookup_elem(&settings, &which);
	return !current || are_denied(&current->rules, ends);
}

/* The same by the rules in force. */
static __always_inline int is_denied(const struct two_ends *ends)
{
	struct knobs *now = current_knobs();

	return !now || is_denied_by(now->which, ends);
}

#endif
