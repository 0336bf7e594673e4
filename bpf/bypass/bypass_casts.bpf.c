// SPDX-License-Identifier: GPL-2.0-only
/* The programs of a bypass, for kernels that take casts: see common/cast.h. */
#define WITH_CASTS
#include "bypass/bypass.bpf.c"
