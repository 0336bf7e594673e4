/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fields of struct direction, in memory that BPF programs write at the same time.
 * Included by mark.c, redirect.c, table.c, channel.c.
 */
#ifndef SOCKPROXY_SHARED_H
#define SOCKPROXY_SHARED_H

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

#endif
