/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: sockets in blocking mode. tcp_msg_wait_data(), in which recv(2) waits on
 * whatever is in a sockmap, waits once and looks at no signal: SIGCONT, a debugger, a thaw or
 * another thread that may send again make tcp_bpf_recvmsg() answer EAGAIN, where TCP goes on
 * waiting. It is not the bypass queue, but to be in the sockmap, that makes it so.
 *
 * The mode is that of the file, not of the call: who reads with MSG_DONTWAIT alone waits in no
 * call that was seen, but may in the next.
 */
#ifndef SOCKPROXY_BLOCKING_H
#define SOCKPROXY_BLOCKING_H

#include "abi/bypass.h"
#include "bypass/maps.h"
#include "common/kernel_sockets.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define O_NONBLOCK 04000 /* on x86-64 and on arm64 */

/* Not before accept(2): it has no file then. Nor have the sockets of the kernel itself. */
static __always_inline int is_blocking(struct sock *sk)
{
	struct file *file = BPF_CORE_READ(sk, sk_socket, file);

	return file && !(BPF_CORE_READ(file, f_flags) & O_NONBLOCK);
}

/* By --blocking-readers; and where nothing enters the sockmap. */
static __always_inline int are_blocking_admitted(void)
{
	struct knobs *now = current_knobs();

	return now && (now->blocking_readers || now->mode != MODE_BYPASS);
}

/* Its mode, as a trait of who reads it. */
static __always_inline __u32 trait_of_mode(struct sock *sk)
{
	return is_blocking(sk) && !are_blocking_admitted() ? TRAIT_BLOCKS : 0;
}

#endif
