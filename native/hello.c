// SPDX-License-Identifier: GPL-2.0-only
#include "hello.h"

#include "hearing.h"
#include "loop.h"
#include "networks.h"
#include "proxy_protocol.h"
#include "routes.h"
#include "server_name.h"
#include "system.h"
#include "timers.h"

#include <errno.h>

/* Longer ones are refused: no list of ciphers or of what a PROXY header carries comes near it. */
#define LONGEST_HELLO 16384

void stop_hearing(struct worker *worker, struct client *client)
{
	if (!client->heard)
		return;
	client->heard = NULL;
	cancel_timer(worker, &client->patience);
	unwatch(worker, client->fd);
}

/* What is being waited for. */
static const char *awaited(const struct client *client)
{
	return client->hears_name ? "a TLS hello" : "a PROXY header";
}

static void end(struct worker *worker, struct client *client, enum rejection why, int number,
		const char *what)
{
	on_heard *done = client->heard;

	stop_hearing(worker, client);
	done(worker, client, why, number, what);
}

static void run_out(struct worker *worker, void *owner)
{
	end(worker, owner, REJECTED_SLOW, 0, awaited(owner));
}

/* Its header, which is all there, is not for the upstream. */
static enum hearing take_header(struct client *client, const unsigned char *bytes, size_t count,
				const char **what)
{
	unsigned char header[LONGEST_HEADER];
	struct two_addresses said = client->ends;
	enum hearing heard;
	size_t size;

	heard = read_preface(bytes, count, &said, &size, what);
	if (heard != HEARD_ALL)
		return heard;
	if (RETRY(sys.recv(client->fd, header, size, 0)) != (ssize_t)size)
		return nonsense(what, "its PROXY header cannot be read again");
	client->said = said;
	client->introduced = true;
	return HEARD_ALL;
}

static enum hearing take_name(struct client *client, const unsigned char *bytes, size_t count,
			      const char **what)
{
	char name[LONGEST_NAME + 1];
	enum hearing heard = read_server_name(bytes, count, name, what);
	struct service *service;

	if (heard != HEARD_ALL)
		return heard;
	service = route_of(client->attempt.service, name);
	if (service)
		client->attempt.service = service;
	return HEARD_ALL;
}

static void on_words(struct worker *worker, void *owner, uint32_t events)
{
	struct client *client = owner;
	unsigned char bytes[LONGEST_HELLO];
	const char *what = NULL;
	enum hearing heard;
	ssize_t count;

	count = RETRY(sys.recv(client->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT));
	if (count < 0 && errno == EAGAIN)
		return;
	if (count < 0) {
		end(worker, client, REJECTED_LEFT, 0, awaited(client));
		return;
	}
	if (client->hears_name)
		heard = take_name(client, bytes, (size_t)count, &what);
	else
		heard = take_header(client, bytes, (size_t)count, &what);
	if (heard == HEARD_ALL)
		end(worker, client, REJECTED_NOT, 0, NULL);
	else if (heard == HEARD_NONSENSE)
		end(worker, client, REJECTED_NONSENSE, 0, what);
	else if (!count || events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		end(worker, client, REJECTED_LEFT, 0, awaited(client));
	else if (events & EPOLLPRI) /* what is behind it is not seen before it is taken */
		end(worker, client, REJECTED_NONSENSE, 0, "an urgent byte is in its first words");
	else if (count == sizeof(bytes))
		end(worker, client, REJECTED_NONSENSE, 0, "its first words are too long");
}

/* Only edges tell of more, as what was looked at stays where it is. */
static void hear(struct worker *worker, struct client *client, on_heard *done)
{
	int64_t until = client->came + client->attempt.service->patience;
	uint32_t events = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET;
	int failed;

	client->heard = done;
	failed = watch(worker, client->fd, events, on_words, client);
	if (!failed)
		failed = set_timer(worker, &client->patience, until, run_out, client);
	if (failed)
		end(worker, client, REJECTED_FAILED, -failed, NULL);
}

void hear_header(struct worker *worker, struct client *client, on_heard *done)
{
	client->hears_name = false;
	if (is_among(&client->attempt.service->trusted, &client->ends.far))
		hear(worker, client, done);
	else
		done(worker, client, REJECTED_NOT, 0, NULL);
}

void hear_name(struct worker *worker, struct client *client, on_heard *done)
{
	client->hears_name = true;
	if (client->attempt.service->routes_count)
		hear(worker, client, done);
	else
		done(worker, client, REJECTED_NOT, 0, NULL);
}
