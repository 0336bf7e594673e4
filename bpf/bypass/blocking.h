/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether a socket is in blocking mode, and whether such a one may be enrolled.
 * Included by bypass/acceptor.h, bypass/found_blocking.h, bypass/grant.h, bypass/join.h,
 * bypass/leave.h, bypass/reader.h, bypass/waiters.h.
 *
 * tcp_msg_wait_data(), in which recv(2) waits on whatever is in a sockmap, waits once and looks at
 * no signal: SIGCONT, a debugger, a thaw or another thread that may send again make
 * tcp_bpf_recvmsg() answer EAGAIN, where TCP goes on waiting. To be in the sockmap is enough for
 * that, whether or not anything was bypassed.
 *
 * The mode is that of the file, not of the call: a program that reads with MSG_DONTWAIT has waited
 * in no call that was seen, but may in the next.
 */
#ifndef SOCKPROXY_BLOCKING_H
#define SOCKPROXY_BLOCKING_H

#include "bypass/maps.h"
#include "common/cast.h"
#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define O_NONBLOCK 04000 /* on x86-64 and on arm64 */

/* The file of a socket that may lie anywhere; NULL before accept(2). */
static __always_inline struct file *file_of(struct sock *sk)
{
	return LOAD(sk, sk_socket, file);
}

/* Whether the socket's file is in blocking mode. 0 for a socket without a file: before accept(2),
 * and one of the kernel itself. */
static __always_inline int is_blocking(struct sock *sk)
{
	struct file *file = file_of(sk);

	return file && !(LOAD(file, f_flags) & O_NONBLOCK);
}

/* The same of a socket that the verifier knows to be one, without a call. */
static __always_inline int is_own_blocking(struct sock *sk)
{
	struct file *file = sk->sk_socket->file;

	return file && !(file->f_flags & O_NONBLOCK);
}

/* Whether sockets in blocking mode may be enrolled: by --blocking-readers, and always where nothing
 * enters the sockmap. */
static __always_inline int are_blocking_admitted(void)
{
	struct knobs *now = current_knobs();

	return now && (now->blocking_readers || now->mode != MODE_BYPASS);
}

/* TRAIT_BLOCKS if the socket must stay plain for its mode, else 0. */
static __always_inline __u32 trait_of_mode(struct sock *sk)
{
	return is_own_blocking(sk) && !are_blocking_admitted() ? TRAIT_BLOCKS : 0;
}

#endif
