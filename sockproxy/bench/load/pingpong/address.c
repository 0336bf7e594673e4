// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include "pingpong.h"

socklen_t parse(const char *where, struct sockaddr_storage *to)
{
	struct sockaddr_in *tcp = (void *)to;
	struct sockaddr_un *local = (void *)to;
	const char *colon = strrchr(where, ':');
	char address[64] = "";

	memset(to, 0, sizeof(*to));
	if (!colon || *where == '/') {
		local->sun_family = AF_UNIX;
		strncpy(local->sun_path, where, sizeof(local->sun_path) - 1);
		return sizeof(*local);
	}
	memcpy(address, where, colon - where < 63 ? colon - where : 63);
	tcp->sin_family = AF_INET;
	tcp->sin_port = htons(atoi(colon + 1));
	if (inet_pton(AF_INET, address, &tcp->sin_addr) != 1) {
		fprintf(stderr, "pingpong: no address: %s\n", where);
		exit(2);
	}
	return sizeof(*tcp);
}
