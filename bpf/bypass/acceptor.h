/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: who accepts at a port, and whether what it accepts stays plain. An
 * accepted socket has no file yet when it is established, and no thread that it belongs to: it is
 * judged by what listens, and by those that were accepted before it.
 */
#ifndef SOCKPROXY_ACCEPTOR_H
#define SOCKPROXY_ACCEPTOR_H

#include "abi/bypass.h"
#include "bypass/blocking.h"
#include "bypass/maps.h"
#include "bypass/program.h"
#include "bypass/state.h"
#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

static __always_inline void name_port(struct local_port *port, struct sock *sk)
{
	port->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	port->port = BPF_CORE_READ(sk, __sk_common.skc_num);
}

/* The address may be stale, and another socket there: then it does not listen at this port, or is
 * as good. */
static __always_inline struct sock *listener_of(const struct acceptor *entry,
						const struct local_port *here)
{
	struct sock *listener = (struct sock *)(unsigned long)entry->listener;
	struct local_port port;

	if (!listener || BPF_CORE_READ(listener, __sk_common.skc_state) != BPF_TCP_LISTEN)
		return NULL;
	name_port(&port, listener);
	return port.port == here->port && port.netns == here->netns ? listener : NULL;
}

/* Another socket listens at the same port, by another address or SO_REUSEPORT: what holds for one
 * of the two holds for both. Of more than two the entry may point to one that has gone. */
static __always_inline void share(struct acceptor *entry, const struct acceptor *other)
{
	if (other->plain == PLAIN_PROGRAM)
		entry->listener = other->listener;
	if (other->plain == PLAIN_PROGRAM || entry->plain == PLAIN_NOT)
		entry->plain = other->plain;
	if (entry->proofs > other->proofs)
		entry->proofs = other->proofs;
	entry->asks |= other->asks;
}

/* listen(2), by the program that will accept. Nothing tells whether a listener that is older than
 * this bypass is still there, so that it is taken to be. */
static __noinline void note_listener(struct bpf_sock_ops *ops)
{
	struct acceptor entry = {}, *other;
	struct bpf_sock *sk = ops->sk;
	struct program_record *known;
	struct local_port port;
	struct tcp_sock *tp;

	tp = sk ? (struct tcp_sock *)bpf_skc_to_tcp_sock(sk) : NULL;
	if (!tp)
		return;
	entry.listener = (unsigned long)tp;
	name_port(&port, (struct sock *)tp);
	known = recall_current();
	if (is_left_alone())
		entry.plain = PLAIN_PROGRAM;
	else if (known && known->blocks & ROLE_ACCEPTER)
		entry.plain = PLAIN_BLOCKS;
	if (known) {
		entry.proofs = known->proofs;
		entry.asks = (known->traits & TRAIT_ASKS) != 0;
	}
	other = bpf_map_lookup_elem(&acceptors, &port);
	if (other && other->listener != entry.listener &&
	    (!other->listener || listener_of(other, &port)))
		share(&entry, other);
	bpf_map_update_elem(&acceptors, &port, &entry, BPF_ANY);
}

/* What was accepted has shown why it stays plain, or PLAIN_NOT: that it does not wait in reads. It
 * may be another's at this port who is left alone. */
static __always_inline void note_accepted(struct sock *sk, __u32 plain)
{
	struct acceptor fresh = {.plain = plain, .waits_not = plain == PLAIN_NOT}, *entry;
	struct local_port port;

	name_port(&port, sk);
	entry = bpf_map_lookup_elem(&acceptors, &port);
	if (!entry) {
		bpf_map_update_elem(&acceptors, &port, &fresh, BPF_NOEXIST);
		return;
	}
	if (entry->plain == PLAIN_PROGRAM)
		return;
	entry->plain = plain;
	entry->waits_not = fresh.waits_not;
}

/* Servers that wait in accept(2) mostly wait in recv(2) as well, at once. */
static __always_inline int is_listener_blocking(const struct acceptor *entry,
						const struct local_port *here)
{
	struct sock *listener = listener_of(entry, here);

	return listener && is_blocking(listener);
}

static __always_inline int may_block(const struct acceptor *entry, const struct local_port *here)
{
	return !are_blocking_admitted() && !entry->waits_not &&
	       (entry->plain == PLAIN_BLOCKS || is_listener_blocking(entry, here));
}

/* Why a socket that is accepted there stays plain. What only may be so is watched, lest all that
 * follow are kept from it. */
static __noinline __u32 accepts_plain(struct sock *sk)
{
	struct acceptor fresh = {}, *entry;
	struct local_port port;

	name_port(&port, sk);
	entry = bpf_map_lookup_elem(&acceptors, &port);
	if (!entry) { /* it listened before */
		bpf_map_update_elem(&acceptors, &port, &fresh, BPF_NOEXIST);
		return is_unproven(0, 0) ? PLAIN_UNPROVEN : PLAIN_NOT;
	}
	if (entry->plain == PLAIN_PROGRAM)
		return PLAIN_PROGRAM;
	if (may_block(entry, &port))
		return PLAIN_BLOCKS;
	return is_unproven(entry->proofs, entry->asks) ? PLAIN_UNPROVEN : PLAIN_NOT;
}

#endif
