/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * struct address and struct sockaddr.
 * Included by accept.c, balance.c, connect.c, hosts.c, life.c, networks.c, own.c, proxy_protocol.c,
 * search.c, targets.c, unix_socket.c.
 */
#ifndef SOCKPROXY_ADDRESS_H
#define SOCKPROXY_ADDRESS_H

#include "door.h"

#include <stdbool.h>
#include <sys/socket.h>

/* The sockaddr of an address of IPv4 or IPv6; the answer is its size. */
socklen_t to_sockaddr(const struct address *address, struct sockaddr_storage *into);

/* The size of its sockaddr. */
socklen_t size_of_family(int family);

/* Of a Unix socket: that it is one, and no more. */
struct address from_sockaddr(const struct sockaddr_storage *sockaddr);

/* Made comparable: IPv4-mapped as IPv4, and without a scope. */
struct address plain_address(const struct address *address);

/* An IPv4 host's four bytes, mapped into IPv6. */
void map_host(const uint8_t four[4], uint8_t host[16]);

bool is_same_address(const struct address *one, const struct address *other);

/* FNV-1a, begun with HASH_OF_NOTHING. */
#define HASH_OF_NOTHING 2166136261U
uint32_t hash_bytes(uint32_t hash, const void *bytes, size_t size);

/* 0.0.0.0, or [::]. */
bool is_any(const struct address *address);

/* Only this host can be at the other end. */
bool is_loopback(const struct address *address);

/* Where the kernel says that the socket is. 0, or a negative errno. */
int read_near(int fd, struct address *near);

/* Where the client that is connected to `near` meant to go, before iptables or nftables REDIRECTed
 * it. False where it was not redirected, or connection tracking is not there. */
bool read_original(int fd, const struct address *near, struct address *original);

#endif
