/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is said of who the client is, in front of a connection's bytes: the PROXY protocol, versions
 * 1 and 2, by HAProxy's doc/proxy-protocol.txt.
 * Included by clients.c, hello.c.
 */
#ifndef SOCKPROXY_PROXY_PROTOCOL_H
#define SOCKPROXY_PROXY_PROTOCOL_H

#include "hearing.h"
#include "told.h"

#include <stddef.h>
#include <stdint.h>

#define LONGEST_PREFACE 108 /* bytes of those written, with the 0 of C */
#define LONGEST_HEADER 4096 /* of those read: addresses, and what else some tell */

/* Write the preface of a connection whose client is at `ends->far`, and came to `ends->near`. Its
 * size. */
size_t write_preface(uint32_t version, const struct two_addresses *ends, unsigned char *into);

/* Of either version, at the beginning of these bytes. ends: they are what it says, or stay as they
 * are where it says nothing of a TCP client. size: its own, when all of it is there. what: the
 * matter with it, if it is nonsense. */
enum hearing read_preface(const unsigned char *bytes, size_t count, struct two_addresses *ends,
			  size_t *size, const char **what);

#endif
