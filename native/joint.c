// SPDX-License-Identifier: GPL-2.0-only
#include "joint.h"

#include "abi/bypass.h"
#include "channel.h"
#include "pair.h"
#include "sockets.h"
#include "system.h"
#include "timers.h"
#include "words.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#define PATIENCE 100 /* looks for a message that is on its way */
#define WAIT MILLISECOND

static const char *const WHY_NOT[] = {
	[REFUSAL_NONE] = "",
	[REFUSAL_NO_CLIENT] = "the client is not enrolled in a bypass",
	[REFUSAL_NO_UPSTREAM] = "the upstream is not enrolled in a bypass",
	[REFUSAL_MISFIT] = "the client did not open its connection, or the upstream did not accept",
	[REFUSAL_CLOSED] = "one of the ends has to stay with TCP, or ends",
	[REFUSAL_WAITS] = "the proxy behind this one has not joined yet",
	[REFUSAL_FULL] = "the bypass has as many connections as it may have",
	[REFUSAL_DRAINS] = "the bypass is being detached",
};
#define WHYS (sizeof(WHY_NOT) / sizeof(*WHY_NOT))
#define NOTHING ((struct past){.why = REFUSAL_CLOSED})

/* why: the worker's words. */
static void tell_why(struct pair *pair, const char *why)
{
	atomic_store(&pair->joint.why_not, why);
}

const char *why_not_past(struct pair *pair)
{
	return atomic_load(&pair->joint.why_not);
}

void prepare_whys(struct worker *worker)
{
	size_t each;

	for (each = 0; each < WHYS; each++)
		worker->why_not_past[each] = words(worker, "%s", WHY_NOT[each]);
}

/* -- circuits -- */

void put_circuit(struct circuit *circuit)
{
	if (__atomic_sub_fetch(&circuit->users, 1, __ATOMIC_ACQ_REL) == 0)
		circuit->free(circuit);
}

void put_circuits(struct worker *worker)
{
	uint32_t each;

	for (each = 0; each < worker->circuits_count; each++)
		put_circuit(worker->circuits[each]);
	worker->circuits_count = 0;
}

void abandon_circuit(struct circuit *circuit)
{
	if (!circuit || circuit->fd < 0)
		return;
	sys.close(circuit->fd);
	circuit->fd = -1;
}

static struct circuit *get_circuit(struct circuit *circuit)
{
	if (circuit)
		__atomic_add_fetch(&circuit->users, 1, __ATOMIC_RELAXED);
	return circuit;
}

static bool is_stopped(const struct circuit *circuit)
{
	return __atomic_load_n(&circuit->stopped, __ATOMIC_ACQUIRE);
}

/* That of the joint, which the caller has to put, or NULL; and what went past so far. */
static struct circuit *circuit_of(struct worker *worker, struct pair *pair, struct past *last)
{
	struct circuit *circuit;

	pthread_mutex_lock(&worker->joints);
	circuit = get_circuit(pair->joint.circuit);
	*last = pair->joint.last;
	pthread_mutex_unlock(&worker->joints);
	return circuit;
}

static bool has_circuit(struct worker *worker, struct pair *pair)
{
	bool has;

	pthread_mutex_lock(&worker->joints);
	has = pair->joint.circuit;
	pthread_mutex_unlock(&worker->joints);
	return has;
}

/* last: what went past so far; NULL: as before. */
static void set_circuit(struct worker *worker, struct pair *pair, struct circuit *circuit,
			const struct past *last)
{
	struct circuit *before;

	pthread_mutex_lock(&worker->joints);
	before = pair->joint.circuit;
	pair->joint.circuit = get_circuit(circuit);
	if (last)
		pair->joint.last = *last;
	pthread_mutex_unlock(&worker->joints);
	if (before)
		put_circuit(before);
}

static int ask(struct circuit *circuit, uint32_t action, struct pair *pair, struct past *answer)
{
	const uint64_t *cookies = pair->joint.cookies;
	int failed = circuit->ask(circuit, action, cookies[0], cookies[1], answer);

	return !failed && answer->why >= WHYS ? -EPROTO : failed;
}

/* -- its life -- */

void prepare_joint(struct worker *worker, struct pair *pair, const char *why)
{
	struct joint *joint = &pair->joint;

	joint->last = NOTHING;
	if (why)
		tell_why(pair, words(worker, "%s", why));
	else
		tell_why(pair, worker->circuits_count ? worker->at_first : worker->why_no_circuits);
}

static int know_cookies(struct pair *pair)
{
	struct joint *joint = &pair->joint;
	int failed;

	if (joint->cookies[0])
		return 0;
	failed = read_cookie(pair->upstream.fd, &joint->cookies[1]);
	return failed ? failed : read_cookie(pair->client.fd, &joint->cookies[0]);
}

/* What goes past us acknowledges nothing: with Nagle's algorithm we might wait for that. */
static void never_delay(const struct pair *pair)
{
	int one = 1;

	sys.setsockopt(pair->client.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	sys.setsockopt(pair->upstream.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

void make_joint(struct worker *worker, struct pair *pair)
{
	struct joint *joint = &pair->joint;
	struct circuit *circuit;
	struct past past;
	uint32_t each;
	int failed;

	if (joint->never || has_circuit(worker, pair))
		return;
	for (each = 0; each < worker->circuits_count; each++) {
		circuit = worker->circuits[each];
		failed = know_cookies(pair);
		if (!failed)
			failed = ask(circuit, JOIN_MAKE, pair, &past);
		if (failed) {
			tell_why(pair, words(worker, "short-circuit: %s",
					     words_of_errno(worker, -failed)));
			continue;
		}
		tell_why(pair, worker->why_not_past[past.why]);
		if (past.why == REFUSAL_NONE || past.why == REFUSAL_WAITS) {
			joint->never = false;
			set_circuit(worker, pair, circuit, &past);
			never_delay(pair);
			return;
		}
		if (past.why == REFUSAL_DRAINS)
			continue;
		joint->never = true; /* nor will it be later: the ends need not wait */
		ask(circuit, JOIN_END, pair, &past);
	}
}

void give_joint_up(struct worker *worker, struct pair *pair, const char *why)
{
	struct joint *joint = &pair->joint;
	struct past past;
	uint32_t each;

	past = read_joint(worker, pair); /* another proxy may have joined it meanwhile */
	if (joint->never || (has_circuit(worker, pair) && past.why != REFUSAL_WAITS))
		return;
	joint->never = true;
	tell_why(pair, why);
	for (each = 0; each < worker->circuits_count; each++)
		if (!know_cookies(pair))
			ask(worker->circuits[each], JOIN_END, pair, &past);
}

struct past read_joint(struct worker *worker, struct pair *pair)
{
	struct past past, last;
	struct circuit *circuit = circuit_of(worker, pair, &last);
	struct joint *joint = &pair->joint;
	bool stopped, still, over;

	if (!circuit)
		return last;
	stopped = is_stopped(circuit);
	if (ask(circuit, JOIN_READ, pair, &past)) {
		put_circuit(circuit);
		return last;
	}
	pthread_mutex_lock(&worker->joints);
	still = joint->circuit == circuit; /* another reader may have let go of it meanwhile */
	/* A slower reader must not put an older count over a newer one. */
	if (still && past.forward_bytes + past.backward_bytes >=
			     joint->last.forward_bytes + joint->last.backward_bytes)
		joint->last = past;
	last = joint->last;
	if (still && !joint->never)
		atomic_store(&joint->why_not, worker->why_not_past[last.why]);
	over = still && stopped && past.why != REFUSAL_NONE;
	if (over)
		joint->circuit = NULL;
	pthread_mutex_unlock(&worker->joints);
	if (over)
		put_circuit(circuit); /* with the last connection its maps go */
	put_circuit(circuit);
	return last;
}

/* -- its end -- */

static void look(struct worker *worker, void *owner)
{
	struct pair *pair = owner;
	struct joint *joint = &pair->joint;
	struct past past;
	struct circuit *circuit = circuit_of(worker, pair, &past);
	bool busy = circuit && (ask(circuit, JOIN_END, pair, &past) || past.busy);

	if (circuit)
		put_circuit(circuit);
	if (!busy) {
		if (joint->drops[0])
			drop_channel(worker, &pair->forward);
		if (joint->drops[1])
			drop_channel(worker, &pair->backward);
	} else if (++joint->looks < PATIENCE)
		set_reserved_timer(worker, &joint->timer, now() + WAIT, look, pair);
	else
		abort_pair(worker, pair,
			   words(worker,
				 "a message that went past the proxy has not arrived in time"));
}

void end_joint(struct worker *worker, struct channel *channel)
{
	struct pair *pair = channel->pair;
	struct joint *joint = &pair->joint;

	joint->never = true;
	if (!has_circuit(worker, pair)) {
		drop_channel(worker, channel);
		return;
	}
	tell_why(pair, words(worker, "its bytes have to be seen from now on"));
	joint->drops[channel == &pair->backward] = true;
	joint->looks = 0;
	look(worker, pair);
}

void close_joint(struct worker *worker, struct pair *pair)
{
	set_circuit(worker, pair, NULL, NULL);
}
