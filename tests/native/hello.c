// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a client says first: whole, in every part, cut up into records, and with bytes that are
 * wrong, of which each answer will do, as long as nothing is read that is not there.
 */
#include "check.h"
#include "proxy_protocol.h"
#include "server_name.h"
#include "system.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

enum { MOST = 20000, MUTATIONS = 200000 };

/* Bytes at the end of memory of their own, so that a sanitizer sees who reads behind them. */
static enum hearing name_of(const unsigned char *bytes, size_t count, char name[LONGEST_NAME + 1])
{
	unsigned char *copy = malloc(count ? count : 1);
	const char *what = NULL;
	enum hearing heard;

	memcpy(copy, bytes, count);
	heard = read_server_name(copy, count, name, &what);
	CHECK((heard == HEARD_NONSENSE) == (what != NULL));
	CHECK(strlen(name) <= LONGEST_NAME);
	free(copy);
	return heard;
}

static enum hearing preface_of(const unsigned char *bytes, size_t count, struct two_addresses *ends,
			       size_t *size)
{
	unsigned char *copy = malloc(count ? count : 1);
	const char *what = NULL;
	enum hearing heard;

	memcpy(copy, bytes, count);
	heard = read_preface(copy, count, ends, size, &what);
	CHECK((heard == HEARD_NONSENSE) == (what != NULL));
	CHECK(heard != HEARD_ALL || *size <= count);
	free(copy);
	return heard;
}

/* -- TLS -- */

static size_t put(unsigned char *into, size_t at, unsigned long value, int digits)
{
	for (; digits; digits--)
		into[at++] = (unsigned char)(value >> 8 * (digits - 1));
	return at;
}

/* A hello as RFC 8446 has it, in one record; name: NULL for none. Its size. */
static size_t write_hello(unsigned char *into, const char *name, size_t padding)
{
	size_t length = name ? strlen(name) : 0, names = name ? length + 9 : 0;
	size_t extensions = 4 + padding + names, body = 34 + 1 + 32 + 2 + 4 + 2 + 2 + extensions;
	size_t at = put(into, 0, 22, 1);

	at = put(into, at, 0x0301, 2);
	at = put(into, at, body + 4, 2);
	at = put(into, at, 1, 1);
	at = put(into, at, body, 3);
	at = put(into, at, 0x0303, 2);
	memset(into + at, 0xab, 32);
	at = put(into, at + 32, 32, 1);
	memset(into + at, 0xcd, 32);
	at = put(into, at + 32, 4, 2);
	at = put(into, at, 0x13011302, 4);
	at = put(into, at, 0x0100, 2);
	at = put(into, at, extensions, 2);
	at = put(into, at, 21, 2);
	at = put(into, at, padding, 2);
	memset(into + at, 0, padding);
	at += padding;
	if (!name)
		return at;
	at = put(into, at, 0, 2);
	at = put(into, at, length + 5, 2);
	at = put(into, at, length + 3, 2);
	at = put(into, at, 0, 1);
	at = put(into, at, length, 2);
	memcpy(into + at, name, length);
	return at + length;
}

/* The same message in records of at most so many bytes. */
static size_t cut_up(const unsigned char *hello, size_t size, unsigned char *into, size_t most)
{
	size_t from = 5, at = 0, part;

	for (; from < size; from += part) {
		part = size - from < most ? size - from : most;
		at = put(into, at, 22, 1);
		at = put(into, at, 0x0303, 2);
		at = put(into, at, part, 2);
		memcpy(into + at, hello + from, part);
		at += part;
	}
	return at;
}

static void is_heard(const unsigned char *bytes, size_t size, const char *name)
{
	char found[LONGEST_NAME + 1];
	size_t part;

	for (part = 0; part < size; part++)
		CHECK(name_of(bytes, part, found) == HEARD_PART);
	CHECK(name_of(bytes, size, found) == HEARD_ALL);
	CHECK(!strcmp(found, name));
}

static void test_names(void)
{
	static unsigned char hello[MOST], cut[2 * MOST];
	static const char *names[][2] = {
		{"example.org", "example.org"}, {"EXAMPLE.Org.", "example.org"}, {"a", "a"}};
	static const size_t records[] = {1, 2, 5, 100, 16000};
	char found[LONGEST_NAME + 1];
	size_t size, each, record;

	for (each = 0; each < 3; each++) {
		size = write_hello(hello, names[each][0], 50 * each);
		is_heard(hello, size, names[each][1]);
		for (record = 0; record < 5; record++)
			is_heard(cut, cut_up(hello, size, cut, records[record]), names[each][1]);
	}
	is_heard(hello, write_hello(hello, NULL, 9), "");
	size = write_hello(hello, "late.example", 12000);
	CHECK(name_of(hello, size, found) == HEARD_ALL && !strcmp(found, "late.example"));
	hello[size] = 20; /* of another kind, behind the hello */
	memset(hello + size + 1, 3, 9);
	CHECK(name_of(hello, size + 10, found) == HEARD_ALL && !strcmp(found, "late.example"));
}

static void test_what_is_no_hello(void)
{
	static const unsigned char plain[] = "GET / HTTP/1.1\r\n";
	static unsigned char hello[MOST];
	char found[LONGEST_NAME + 1];
	size_t size = write_hello(hello, "example.org", 3);

	CHECK(name_of(plain, sizeof(plain), found) == HEARD_ALL && !found[0]);
	hello[1] = 9;
	CHECK(name_of(hello, size, found) == HEARD_NONSENSE);
	hello[1] = 3;
	hello[5] = 2; /* a ServerHello */
	CHECK(name_of(hello, size, found) == HEARD_NONSENSE);
	hello[5] = 1;
	hello[6] = 0xff; /* of 16 MiB */
	CHECK(name_of(hello, size, found) == HEARD_NONSENSE);
	hello[6] = 0;
	hello[size - 1] = '\n';
	CHECK(name_of(hello, size, found) == HEARD_NONSENSE);
	hello[size - 1] = 0;
	CHECK(name_of(hello, size, found) == HEARD_NONSENSE);
}

static void mutate(unsigned char *bytes, size_t size)
{
	long count = 1 + random() % 4;

	while (count--)
		bytes[(size_t)random() % size] =
			random() % 2 ? (unsigned char)random() : (unsigned char)(random() % 4);
}

static void test_wrong_names(void)
{
	static unsigned char hello[MOST], cut[2 * MOST];
	char found[LONGEST_NAME + 1];
	size_t size, each;
	int turn;

	for (turn = 0; turn < MUTATIONS; turn++) {
		size = write_hello(hello, random() % 4 ? "some.example" : NULL,
				   (size_t)random() % 20);
		size = cut_up(hello, size, cut, 1 + (size_t)random() % 200);
		mutate(cut, size);
		name_of(cut, (size_t)random() % (size + 1), found);
		for (each = 0; each < 40 && turn % 2; each++)
			cut[each] = (unsigned char)random();
		cut[0] = 22;
		name_of(cut, size, found);
	}
}

/* -- the PROXY protocol -- */

static struct address address_of(const char *host, uint16_t port)
{
	struct address address = {.family = strchr(host, ':') ? AF_INET6 : AF_INET, .port = port};

	CHECK(inet_pton(address.family, host, address.host) == 1);
	return address;
}

static bool are_same(const struct two_addresses *one, const struct two_addresses *other)
{
	return !memcmp(one, other, sizeof(*one));
}

static void test_prefaces(void)
{
	struct two_addresses four = {address_of("192.0.2.1", 80),
				     address_of("198.51.100.7", 65535)};
	struct two_addresses six = {address_of("2001:db8::1", 443), address_of("2001:db8::2", 1)};
	struct two_addresses *all[] = {&four, &six}, found;
	unsigned char bytes[LONGEST_PREFACE + 3] = {0};
	uint32_t version;
	size_t size, part, told;
	int each;

	for (version = 1; version <= 2; version++) {
		for (each = 0; each < 2; each++) {
			size = write_preface(version, all[each], bytes);
			for (part = 0; part < size; part++)
				CHECK(preface_of(bytes, part, &found, &told) == HEARD_PART);
			memset(&found, 0, sizeof(found));
			memcpy(bytes + size, "abc", 3); /* what follows is the upstream's */
			CHECK(preface_of(bytes, size + 3, &found, &told) == HEARD_ALL);
			CHECK(told == size && are_same(&found, all[each]));
		}
	}
}

static void test_who_is_not_said(void)
{
	static const unsigned char local[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\x03TLV";
	static const unsigned char unix_client[] = "\r\n\r\n\0\r\nQUIT\n\x21\x31\0\0";
	static const char *unknown[] = {"PROXY UNKNOWN\r\n", "PROXY UNKNOWN a b c d\r\n"};
	struct two_addresses ends = {.near.port = 7}, same = ends;
	size_t size, each;

	CHECK(preface_of(local, 19, &ends, &size) == HEARD_ALL && size == 19);
	CHECK(preface_of(unix_client, 16, &ends, &size) == HEARD_ALL && size == 16);
	for (each = 0; each < 2; each++) {
		CHECK(preface_of((const unsigned char *)unknown[each], strlen(unknown[each]), &ends,
				 &size) == HEARD_ALL);
		CHECK(size == strlen(unknown[each]));
	}
	CHECK(are_same(&ends, &same));
}

static void test_wrong_prefaces(void)
{
	static const char *wrong[] = {
		"GET / HTTP/1.1\r\n\r\n",
		"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
		"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
		"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
		"PROXY TCP4 ::1 ::2 1 2\r\n",
		"PROXY TCP6 1.2.3.4 ::2 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx",
		"PROXY UNKNOWNS\r\n",
		"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
		" ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535 \r\n",
		"\r\n\r\n?",
	};
	static const unsigned char binary[][28] = {
		"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c", /* version 3 */
		"\r\n\r\n\0\r\nQUIT\n\x22\x11\0\x0c", /* a command that there is not */
		"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0b", /* too short */
		"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
	};
	struct two_addresses ends;
	size_t each, size;

	for (each = 0; each < sizeof(wrong) / sizeof(*wrong); each++)
		CHECK(preface_of((const unsigned char *)wrong[each], strlen(wrong[each]), &ends,
				 &size) == HEARD_NONSENSE);
	for (each = 0; each < sizeof(binary) / sizeof(*binary); each++)
		CHECK(preface_of(binary[each], 28, &ends, &size) == HEARD_NONSENSE);
}

static void test_mutated_prefaces(void)
{
	struct two_addresses ends = {address_of("192.0.2.1", 80), address_of("198.51.100.7", 1)};
	unsigned char bytes[LONGEST_PREFACE];
	struct two_addresses found;
	size_t size, told;
	int turn;

	for (turn = 0; turn < MUTATIONS; turn++) {
		size = write_preface(1 + (uint32_t)random() % 2, &ends, bytes);
		mutate(bytes, size);
		preface_of(bytes, (size_t)random() % (size + 1), &found, &told);
	}
}

int main(void)
{
	test_names();
	test_what_is_no_hello();
	test_wrong_names();
	test_prefaces();
	test_who_is_not_said();
	test_wrong_prefaces();
	test_mutated_prefaces();
	return 0;
}
