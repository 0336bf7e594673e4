/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fields of struct direction, in memory that BPF programs write at the same time.
 * Included by channel.c, mark.c, redirect.c, sockmap.c, table.c.
 */
#ifndef SOCKPROXY_SHARED_H
#define SOCKPROXY_SHARED_H

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

#endif
