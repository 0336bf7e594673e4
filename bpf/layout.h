/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: the sizes that sockproxy/kernel/layout.py asserts as well.
 */
#ifndef SOCKPROXY_LAYOUT_H
#define SOCKPROXY_LAYOUT_H

#include "shared.h"

_Static_assert(sizeof(struct direction) == 112, "struct direction");
_Static_assert(sizeof(struct hold_event) == 8, "struct hold_event");
_Static_assert(sizeof(struct inspection) == 40, "struct inspection");
_Static_assert(sizeof(struct enrolment) == 32, "struct enrolment");

#endif
