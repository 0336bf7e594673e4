/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Loads through an address that the verifier takes for a number, such as what lies behind a list
 * entry or sk_user_data.
 * Included by bypass/acceptor.h, bypass/blocking.h, bypass/grant.h, bypass/program.h,
 * bypass/waiters.h, common/psock.h.
 *
 * bpf_rdonly_cast(), since Linux 6.2, makes a pointer of it, and each load is one instruction that
 * reads 0 where nothing is mapped. Before that it takes bpf_probe_read_kernel(), a call that costs
 * as much as some ten of them.
 */
#ifndef SOCKPROXY_CAST_H
#define SOCKPROXY_CAST_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* The kernel's list of the functions that its verifier knows by name. */
enum special_kfunc_type {
	KF_bpf_rdonly_cast,
};

extern void *bpf_rdonly_cast(const void *address, __u32 type) __ksym __weak;

#define CAN_CAST bpf_core_enum_value_exists(enum special_kfunc_type, KF_bpf_rdonly_cast)

/* A pointer that the verifier knows for what it is said to be. Only where CAN_CAST. */
#define CAST(pointer)                                                                              \
	((typeof(pointer))bpf_rdonly_cast(pointer, bpf_core_type_id_kernel(typeof(*(pointer)))))

/* What BPF_CORE_READ(pointer, field, ...) gives, with up to four fields. */
#define LOAD(pointer, ...)                                                                         \
	({                                                                                         \
		typeof(pointer) _at = (pointer);                                                   \
		CAN_CAST ? CAST(_at)->ARROWS(__VA_ARGS__) : BPF_CORE_READ(_at, __VA_ARGS__);       \
	})

#define ARROWS(...) ARROWS_OF(__VA_ARGS__, ARROWS4, ARROWS3, ARROWS2, ARROWS1)(__VA_ARGS__)
#define ARROWS_OF(a, b, c, d, name, ...) name
#define ARROWS1(a) a
#define ARROWS2(a, b) a->b
#define ARROWS3(a, b, c) a->b->c
#define ARROWS4(a, b, c, d) a->b->c->d

/* The same for a field of some bits. */
#define LOAD_BITS(pointer, field)                                                                  \
	({                                                                                         \
		typeof(pointer) _at = (pointer);                                                   \
		CAN_CAST ? BPF_CORE_READ_BITFIELD(CAST(_at), field)                                \
			 : BPF_CORE_READ_BITFIELD_PROBED(_at, field);                              \
	})

#endif
