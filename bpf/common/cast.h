/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Loads through an address that the verifier takes for a number, such as what lies behind a list
 * entry or sk_user_data.
 * Included by bypass/acceptor.h, bypass/blocking.h, bypass/events.h, bypass/grant.h,
 * bypass/program.h, bypass/waiters.h, bypass/worth.h, common/psock.h, common/try_casts.bpf.c.
 *
 * bpf_rdonly_cast() makes a pointer of it, and each load is one instruction, which reads 0 where
 * nothing is mapped. Kernels before 6.2, and those without JIT, refuse a program that calls it:
 * there each load takes bpf_probe_read_kernel(), a call that costs as much as some ten. Before 5.16
 * even a call in code that is never reached is refused, so that no check at run time could decide:
 * an object is made for each of the two.
 */
#ifndef SOCKPROXY_CAST_H
#define SOCKPROXY_CAST_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#ifdef WITH_CASTS

extern void *bpf_rdonly_cast(const void *address, __u32 type) __ksym;

#define CAST(pointer)                                                                              \
	((typeof(pointer))bpf_rdonly_cast(pointer, bpf_core_type_id_kernel(typeof(*(pointer)))))

/* What BPF_CORE_READ(pointer, field, ...) gives, with up to four fields. */
#define LOAD(pointer, ...) (CAST(pointer)->ARROWS(__VA_ARGS__))
#define ARROWS(...) ARROWS_OF(__VA_ARGS__, ARROWS4, ARROWS3, ARROWS2, ARROWS1)(__VA_ARGS__)
#define ARROWS_OF(a, b, c, d, name, ...) name
#define ARROWS1(a) a
#define ARROWS2(a, b) a->b
#define ARROWS3(a, b, c) a->b->c
#define ARROWS4(a, b, c, d) a->b->c->d

/* The same for a field of some bits. */
#define LOAD_BITS(pointer, field) BPF_CORE_READ_BITFIELD(CAST(pointer), field)

#else

#define LOAD BPF_CORE_READ
#define LOAD_BITS BPF_CORE_READ_BITFIELD_PROBED

#endif

#endif
