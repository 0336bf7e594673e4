/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fixed-width integers of abi/, by names that cffi knows too. (clang's <stdint.h> for the BPF
 * target wants headers of a 32-bit C library, which few machines have. The native worker has its
 * own.)
 * Included by abi/bypass.h, abi/observed.h, abi/packets.h, abi/rules.h, abi/splice.h.
 */
#ifndef SOCKPROXY_ABI_TYPES_H
#define SOCKPROXY_ABI_TYPES_H

#ifdef __bpf__
#include <linux/types.h>

typedef __u32 uint32_t;
typedef __u64 uint64_t;
#else
#include <stdint.h>
#endif

#endif
