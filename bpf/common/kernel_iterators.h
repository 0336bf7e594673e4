/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel hands to BPF iterators over socket storages and over TCP's sockets.
 * Included by bypass/bypass.bpf.c, bypass/listing.h.
 */
#ifndef SOCKPROXY_KERNEL_ITERATORS_H
#define SOCKPROXY_KERNEL_ITERATORS_H

#include "common/kernel_sockets.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct sock *sk;
	void *value;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

#pragma clang attribute pop

#endif
