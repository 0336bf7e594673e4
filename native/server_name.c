// SPDX-License-Identifier: GPL-2.0-only
#include "server_name.h"

#include <stdbool.h>
#include <string.h>

#define BAD "bad TLS hello: "
#define HANDSHAKE 22 /* type of a record */
#define CLIENT_HELLO 1
#define SERVER_NAME 0 /* type of an extension */
#define HOST_NAME 0   /* type of a name in it */
#define RECORD_HEAD 5
#define MESSAGE_HEAD 4
#define LONGEST_RECORD 16384
#define LONGEST_MESSAGE 16384
#define VERSION_AND_RANDOM 34

/* -- records -- */

/* Of the message after its head, which must be there. */
static size_t length_of(const unsigned char *message)
{
	return (size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3];
}

static bool is_whole(const unsigned char *message, size_t size)
{
	return size >= MESSAGE_HEAD && size - MESSAGE_HEAD >= length_of(message);
}

/* The first message of the handshake, as far as it is there, put together from the records that
 * carry it. Others may follow: early data, for one. */
static enum hearing join_records(const unsigned char *bytes, size_t count, unsigned char *message,
				 size_t *size, const char **what)
{
	size_t at = 0, length, part;

	*size = 0;
	while (at + RECORD_HEAD <= count && *size < LONGEST_MESSAGE && !is_whole(message, *size)) {
		length = (size_t)bytes[at + 3] << 8 | bytes[at + 4];
		if (bytes[at] != HANDSHAKE)
			return nonsense(what, BAD "another record is within it");
		if (bytes[at + 1] != 3 || !length || length > LONGEST_RECORD)
			return nonsense(what, BAD "a record of it is no record of TLS");
		at += RECORD_HEAD;
		part = length < count - at ? length : count - at;
		if (part > LONGEST_MESSAGE - *size)
			part = LONGEST_MESSAGE - *size;
		memcpy(message + *size, bytes + at, part);
		*size += part;
		at += length;
	}
	return HEARD_ALL;
}

/* -- the message -- */

struct text {
	const unsigned char *at;
	size_t left;
};

/* False, here and below: it is not all there. */
static bool skip(struct text *text, size_t count)
{
	if (text->left < count)
		return false;
	text->at += count;
	text->left -= count;
	return true;
}

/* The next number, of so many bytes. */
static bool take_number(struct text *text, size_t size, size_t *number)
{
	const unsigned char *at = text->at;

	if (!skip(text, size))
		return false;
	for (*number = 0; size; size--)
		*number = *number << 8 | *at++;
	return true;
}

/* The next part, which has its length in so many bytes before it. */
static bool take_part(struct text *text, size_t size, struct text *part)
{
	size_t length;

	if (!take_number(text, size, &length))
		return false;
	*part = (struct text){text->at, length};
	return skip(text, length);
}

static enum hearing write_name(struct text host, char *name, const char **what)
{
	size_t each;

	if (host.left && host.at[host.left - 1] == '.')
		host.left--;
	if (!host.left || host.left > LONGEST_NAME)
		return nonsense(what, BAD "its name is empty or too long");
	for (each = 0; each < host.left; each++) {
		if (host.at[each] <= ' ' || host.at[each] > '~')
			return nonsense(what, BAD "its name is no name");
		name[each] = (char)host.at[each];
		if (name[each] >= 'A' && name[each] <= 'Z')
			name[each] += 'a' - 'A';
	}
	name[each] = 0;
	return HEARD_ALL;
}

static enum hearing read_names(struct text extension, char *name, const char **what)
{
	struct text names, host;
	size_t type;

	if (!take_part(&extension, 2, &names) || extension.left)
		return nonsense(what, BAD "its list of names is cut off");
	while (names.left) {
		if (!take_number(&names, 1, &type) || !take_part(&names, 2, &host))
			return nonsense(what, BAD "its list of names is cut off");
		if (type == HOST_NAME)
			return write_name(host, name, what);
	}
	return HEARD_ALL;
}

static enum hearing read_extensions(struct text extensions, char *name, const char **what)
{
	struct text extension;
	size_t type;

	while (extensions.left) {
		if (!take_number(&extensions, 2, &type) || !take_part(&extensions, 2, &extension))
			return nonsense(what, BAD "its extensions are cut off");
		if (type == SERVER_NAME)
			return read_names(extension, name, what);
	}
	return HEARD_ALL;
}

static enum hearing read_hello(struct text hello, char *name, const char **what)
{
	struct text session, ciphers, compressions, extensions;

	if (!skip(&hello, VERSION_AND_RANDOM) || !take_part(&hello, 1, &session) ||
	    !take_part(&hello, 2, &ciphers) || !take_part(&hello, 1, &compressions))
		return nonsense(what, BAD "it is cut off");
	if (!hello.left) /* of SSL 3.0, or TLS without any extension */
		return HEARD_ALL;
	if (!take_part(&hello, 2, &extensions) || hello.left)
		return nonsense(what, BAD "its extensions are cut off");
	return read_extensions(extensions, name, what);
}

enum hearing read_server_name(const unsigned char *bytes, size_t count, char name[LONGEST_NAME + 1],
			      const char **what)
{
	unsigned char message[LONGEST_MESSAGE];
	struct text hello;
	size_t size;

	name[0] = 0;
	if (count && bytes[0] != HANDSHAKE)
		return HEARD_ALL;
	if (join_records(bytes, count, message, &size, what) == HEARD_NONSENSE)
		return HEARD_NONSENSE;
	if (size && message[0] != CLIENT_HELLO)
		return nonsense(what, BAD "it is another message of TLS");
	if (size < MESSAGE_HEAD)
		return HEARD_PART;
	hello = (struct text){message + MESSAGE_HEAD, length_of(message)};
	if (hello.left > LONGEST_MESSAGE - MESSAGE_HEAD)
		return nonsense(what, BAD "it is too long");
	return is_whole(message, size) ? read_hello(hello, name, what) : HEARD_PART;
}
