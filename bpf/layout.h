/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: the sizes that sockproxy/bpf/abi.py asserts as well.
 */
#ifndef SOCKPROXY_LAYOUT_H
#define SOCKPROXY_LAYOUT_H

#include "kernel_types.h"
#include "shared.h"

_Static_assert(sizeof(struct direction) == 112, "struct direction");
_Static_assert(sizeof(struct hold_event) == 8, "struct hold_event");
_Static_assert(sizeof(struct inspection) == 48, "struct inspection");
_Static_assert(sizeof(struct enrolment) == 32, "struct enrolment");
_Static_assert(sizeof(struct handshake) == 8, "struct handshake");
_Static_assert(sizeof(struct opener) == 40, "struct opener");
_Static_assert(sizeof(struct enrolled) == 144, "struct enrolled");
_Static_assert(sizeof(struct lane) == 88, "struct lane");
_Static_assert(sizeof(struct pair) == 216, "struct pair");
_Static_assert(sizeof(struct peer) == 16, "struct peer");
_Static_assert(sizeof(struct service) == 24, "struct service");
_Static_assert(sizeof(struct service_record) == 16, "struct service_record");
_Static_assert(sizeof(struct program) == 16, "struct program");
_Static_assert(sizeof(struct wakers) == 24, "struct wakers");
_Static_assert(sizeof(struct runner) == 40, "struct runner");
_Static_assert(sizeof(struct program_record) == 32, "struct program_record");
_Static_assert(sizeof(struct program_name) == 72, "struct program_name");
_Static_assert(sizeof(struct asked_for) == 256, "struct asked_for");
_Static_assert(sizeof(struct local_port) == 8, "struct local_port");
_Static_assert(sizeof(struct acceptor) == 24, "struct acceptor");
_Static_assert(sizeof(struct rule) == 48, "struct rule");
_Static_assert(sizeof(struct settings) == 1560, "struct settings");
_Static_assert(sizeof(struct knobs) == 40, "struct knobs");
_Static_assert(sizeof(struct bypass_totals) == 160, "struct bypass_totals");
_Static_assert(sizeof(struct connection) == 168, "struct connection");

#endif
