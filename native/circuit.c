// SPDX-License-Identifier: GPL-2.0-only
/* The real circuit: join_past_proxy() of bpf/bypass/joint.h, run by hand. */
#include "kernel.h"

#include "abi/bypass.h"
#include "bpf.h"
#include "joint.h"
#include "system.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int ask(struct circuit *circuit, uint32_t action, uint64_t client, uint64_t upstream,
	       struct past *answer)
{
	struct join asked = {.client = client, .upstream = upstream, .action = action};
	unsigned char packet[LOOKED_UP_AT + sizeof(asked)] = {0};
	int result;

	memcpy(packet + LOOKED_UP_AT, &asked, sizeof(asked));
	result = run_program(circuit->fd, packet, sizeof(packet));
	if (result <= 0)
		return result ? result : -EPROTO; /* it is of another version */
	memcpy(&asked, packet + LOOKED_UP_AT, sizeof(asked));
	*answer = (struct past){
		.why = asked.why,
		.busy = asked.busy,
		.unread = asked.unread,
		.forward_bytes = asked.forward_bytes,
		.forward_messages = asked.forward_messages,
		.backward_bytes = asked.backward_bytes,
		.backward_messages = asked.backward_messages,
	};
	return 0;
}

static void free_circuit(struct circuit *circuit)
{
	sys.close(circuit->fd);
	free(circuit);
}

EXPORT struct circuit *circuit_new(int fd)
{
	struct circuit *circuit = sys.realloc(NULL, sizeof(*circuit));

	if (!circuit) {
		errno = ENOMEM;
		return NULL;
	}
	*circuit = (struct circuit){.ask = ask, .free = free_circuit, .fd = fd, .users = 1};
	return circuit;
}

EXPORT void circuit_stop(struct circuit *circuit)
{
	__atomic_store_n(&circuit->stopped, 1, __ATOMIC_RELEASE);
}

EXPORT void circuit_put(struct circuit *circuit)
{
	put_circuit(circuit);
}
