/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Why something is as it is, in words: each text once, for as long as the worker lives, so that
 * whoever reads a state in another thread may read its reason as well.
 * Included by channel.c, door.c, end.c, failure.c, farewell.c, joint.c, life.c, pair.c, redirect.c,
 * sweep.c.
 */
#ifndef SOCKPROXY_WORDS_H
#define SOCKPROXY_WORDS_H

#include "worker.h"

/* The text; without memory, another one that says so. Printed as printf() does. */
const char *words(struct worker *worker, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* An errno's, as strerror() has them, in small letters. */
const char *words_of_errno(struct worker *worker, int number);

void free_words(struct worker *worker);

#endif
