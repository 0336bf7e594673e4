/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf(2), as its manual page has it, on maps and programs that are loaded.
 * Included by circuit.c, ring.c, sockmap.c.
 *
 * Calls answer 0 or more, or a negative errno.
 */
#ifndef SOCKPROXY_BPF_H
#define SOCKPROXY_BPF_H

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

int bpf(enum bpf_cmd command, union bpf_attr *attr);

/* A command on one element of a map. value: NULL where the command has none. */
int on_element(enum bpf_cmd command, int map, const void *key, const void *value, uint64_t flags);

/* Run a tc program on the packet, of 14 bytes or more, which it may change: what it returned. */
int run_program(int program, void *packet, uint32_t size);

#endif
