/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who accepts at a port, and whether what it accepts stays plain.
 * Included by bypass/fionread.h, bypass/found_blocking.h, bypass/join.h, bypass/leave.h,
 * bypass/reader.h.
 *
 * An accepted socket has no file yet when it is established, and belongs to no thread. So it is
 * judged by the program that listens, and by the sockets that were accepted before it.
 */
#ifndef SOCKPROXY_ACCEPTOR_H
#define SOCKPROXY_ACCEPTOR_H

#include "bypass/blocking.h"
#include "bypass/maps.h"
#include "bypass/program.h"
#include "common/cast.h"
#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

static __always_inline void name_port(struct local_port *port, struct sock *sk)
{
	port->netns = LOAD(sk, __sk_common.skc_net.net, ns.inum);
	port->port = LOAD(sk, __sk_common.skc_num);
}

/* The socket that listens at the port `here`, or NULL. The address in `entry` may be stale, and
 * another socket lie there: it is taken only if it listens at the same port, and then it is as good
 * as the first. */
static __always_inline struct sock *listener_of(const struct acceptor *entry,
						const struct local_port *here)
{
	struct sock *listener = (struct sock *)(unsigned long)entry->listener;
	struct local_port port;

	if (!listener || LOAD(listener, __sk_common.skc_state) != BPF_TCP_LISTEN)
		return NULL;
	name_port(&port, listener);
	return port.port == here->port && port.netns == here->netns ? listener : NULL;
}

/* `other` listens at the same port, by another address or SO_REUSEPORT: `entry` is to hold for
 * both. There is one address for all; of more than two listeners it may be that of one that has
 * gone. */
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

/* listen(2), in the program that will accept: note whether what it accepts stays plain. Nothing
 * tells whether a listener that is older than this bypass still listens; assume that it does. */
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
	if (is_left_alone(known))
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

/* An accepted socket has shown why it stays plain, or by PLAIN_NOT that it does not wait in reads:
 * the next ones at its port are taken to be the same. Does not touch a port at which some program
 * is left alone: this socket may be of another program there. */
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

/* Whether the listener is in blocking mode: a server that waits in accept(2) mostly waits in
 * recv(2) as well, from the first message on. */
static __always_inline int is_listener_blocking(const struct acceptor *entry,
						const struct local_port *here)
{
	struct sock *listener = listener_of(entry, here);

	return listener && is_blocking(listener);
}

/* Whether a socket that is accepted here may be read in blocking mode. */
static __always_inline int may_block(const struct acceptor *entry, const struct local_port *here)
{
	return !are_blocking_admitted() && !entry->waits_not &&
	       (entry->plain == PLAIN_BLOCKS || is_listener_blocking(entry, here));
}

/* Why this socket, which is being accepted, stays plain; PLAIN_NOT if nothing speaks against it.
 * One that stays plain on suspicion is watched (look_at_accepted(), see_result()): it may show that
 * the next ones need not. */
static __noinline __u32 accepts_plain(struct sock *sk)
{
	struct acceptor fresh = {}, *entry;
	struct local_port port;

	name_port(&port, sk);
	entry = bpf_map_lookup_elem(&acceptors, &port);
	if (!entry) { /* the program has listened since before this bypass */
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
