/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The name that a TLS client asks for in the first bytes that it sends: RFC 8446 section 4.1.2, RFC
 * 6066 section 3. Nothing is decrypted; of an encrypted hello it is the outer name.
 * Included by hello.c.
 */
#ifndef SOCKPROXY_SERVER_NAME_H
#define SOCKPROXY_SERVER_NAME_H

#include "hearing.h"

#include <stddef.h>

#define LONGEST_NAME 255

/* Of the first `count` bytes of a client. name: in small letters and without a dot at its end; ""
 * where it speaks no TLS, or asks for nobody by name. what: the matter with it, if it is nonsense.
 */
enum hearing read_server_name(const unsigned char *bytes, size_t count, char name[LONGEST_NAME + 1],
			      const char **what);

#endif
