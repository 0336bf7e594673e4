/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of native/ have in common. Included by all of them. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(holds)                                                                               \
	do {                                                                                       \
		if (!(holds)) {                                                                    \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #holds);                \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#endif
