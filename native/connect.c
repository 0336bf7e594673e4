// SPDX-License-Identifier: GPL-2.0-only
#include "connect.h"

#include "address.h"
#include "loop.h"
#include "memory.h"
#include "news.h"
#include "own.h"
#include "service.h"
#include "sockets.h"
#include "system.h"
#include "timers.h"
#include "unix_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void begin(struct worker *worker, struct attempt *attempt);

bool is_shortage(int number)
{
	return number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM;
}

void cancel_attempt(struct worker *worker, struct attempt *attempt)
{
	cancel_timer(worker, &attempt->timer);
	if (attempt->fd < 0)
		return;
	unwatch(worker, attempt->fd);
	drop_own(worker->all, attempt->own);
	sys.close(attempt->fd); /* SO_LINGER makes it a RST */
	attempt->fd = -1;
	attempt->own = 0;
}

int take_socket(struct attempt *attempt)
{
	int fd = attempt->fd;

	attempt->fd = -1;
	attempt->own = 0;
	return fd;
}

static void begin_again(struct worker *worker, void *owner)
{
	begin(worker, owner);
}

/* A Unix socket's backlog is full. Nobody tells when it is no more. */
static bool is_full(const struct attempt *attempt, int number)
{
	return number == EAGAIN && attempt->target.family == AF_UNIX;
}

/* The attempt has failed: at once, or, of what may pass, when that has lasted for too long. */
static void end(struct worker *worker, struct attempt *attempt, int number)
{
	bool full = is_full(attempt, number);

	cancel_attempt(worker, attempt);
	if ((full || is_shortage(number)) && now() < attempt->until &&
	    !set_timer(worker, &attempt->timer, now() + SHORTAGE_PAUSE, begin_again, attempt))
		return;
	attempt->done(worker, attempt, full ? FAILURE_TIME_OUT : number);
}

static void run_out(struct worker *worker, void *owner)
{
	end(worker, owner, FAILURE_TIME_OUT);
}

static int set_options(const struct attempt *attempt)
{
	const struct service *service = attempt->service;
	bool here = is_loopback(&attempt->target), is_unix = attempt->target.family == AF_UNIX;
	const struct option *option;
	size_t each;

	for (each = 0; each < service->options_count; each++) {
		option = &service->options[each];
		if ((option->loopback && !here) || (is_unix && option->level != SOL_SOCKET))
			continue;
		if (sys.setsockopt(attempt->fd, option->level, option->name, option->value,
				   option->size) &&
		    !option->loopback)
			return errno;
	}
	return 0;
}

/* What became of it. TCP may have connected it to itself, when the kernel chose the port for it
 * that it was to connect to: nobody listens there. One that was reset since is connected: what it
 * had sent before is still to be read, and tcp_reset() says ECONNREFUSED where it never was. */
static int read_outcome(struct worker *worker, struct attempt *attempt, int state)
{
	socklen_t size = sizeof(int);
	int number = 0;

	if (state != ESTABLISHED &&
	    sys.getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &number, &size))
		number = errno;
	if (number == ECONNRESET || number == EPIPE)
		number = 0;
	if (!number && goes_to_itself(worker->all, attempt->own))
		number = ECONNREFUSED;
	return number;
}

static void on_answer(struct worker *worker, void *owner, uint32_t events)
{
	struct attempt *attempt = owner;
	int number = read_outcome(worker, attempt, SYN_SENT);

	(void)events;
	unwatch(worker, attempt->fd);
	cancel_timer(worker, &attempt->timer);
	if (number)
		end(worker, attempt, number);
	else
		attempt->done(worker, attempt, 0);
}

/* Its address is known, and it may be connected at any moment. */
static int note_own(struct worker *worker, struct attempt *attempt)
{
	int failed = read_near(attempt->fd, &attempt->near);

	if (failed)
		return -failed;
	attempt->own = add_own(worker->all, &attempt->near, &attempt->target);
	return attempt->own ? 0 : ENOMEM;
}

/* The errno, or 0 for an answer, which is there at once. */
static int connect_unix(struct worker *worker, struct attempt *attempt)
{
	struct sockaddr_storage target;
	socklen_t size = to_unix_sockaddr(worker->all, &attempt->target, &target);

	attempt->near = (struct address){.family = AF_UNIX};
	return sys.connect(attempt->fd, (struct sockaddr *)&target, size) ? errno : 0;
}

/* The errno, 0 for an answer, or EINPROGRESS. On this host release_sock() in connect(2) finds the
 * answer in the socket's backlog, after EINPROGRESS was decided upon (__inet_stream_connect()). */
static int connect_attempt(struct worker *worker, struct attempt *attempt)
{
	struct sockaddr_storage target;
	int number = set_options(attempt), state;
	socklen_t size;

	if (number)
		return number;
	if (attempt->target.family == AF_UNIX)
		return connect_unix(worker, attempt);
	size = to_sockaddr(&attempt->target, &target);
	if (sys.connect(attempt->fd, (struct sockaddr *)&target, size) && errno != EINPROGRESS)
		return errno;
	number = note_own(worker, attempt);
	if (number)
		return number;
	state = fence(attempt->fd);
	return state == SYN_SENT ? EINPROGRESS : read_outcome(worker, attempt, state);
}

static void begin(struct worker *worker, struct attempt *attempt)
{
	int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, number;

	attempt->fd = sys.socket(attempt->target.family, type, 0);
	if (attempt->fd < 0) {
		end(worker, attempt, errno);
		return;
	}
	number = connect_attempt(worker, attempt);
	if (number == EINPROGRESS) {
		number = -set_timer(worker, &attempt->timer, now() + attempt->service->timeout,
				    run_out, attempt);
		if (!number)
			number = -watch(worker, attempt->fd, EPOLLOUT, on_answer, attempt);
		if (!number)
			return;
	}
	if (number)
		end(worker, attempt, number);
	else
		attempt->done(worker, attempt, 0);
}

void begin_attempt(struct worker *worker, struct attempt *attempt, const struct address *target,
		   on_attempt *done)
{
	attempt->target = *target;
	attempt->done = done;
	attempt->fd = -1;
	attempt->own = 0;
	attempt->until = now() + attempt->service->timeout;
	begin(worker, attempt);
}

/* -- trials -- */

static void drop_trial(struct worker *worker, struct trial *trial)
{
	cancel_attempt(worker, &trial->attempt);
	*trial->link = trial->next;
	if (trial->next)
		trial->next->link = trial->link;
	free(trial);
}

static void on_tried(struct worker *worker, struct attempt *attempt, int number)
{
	struct trial *trial = (struct trial *)((char *)attempt - offsetof(struct trial, attempt));
	struct news *news = tell_reserved(worker, NEWS_TRIED);

	news->number = trial->number;
	news->error = number == FAILURE_TIME_OUT ? ETIMEDOUT : number;
	drop_trial(worker, trial);
}

EXPORT int worker_try(struct worker *worker, uint32_t service, const struct address *address,
		      uint64_t number)
{
	struct trial *trial = service_of(worker, service) ? blank(sizeof(*trial)) : NULL;

	if (!trial)
		return -ENOMEM;
	if (reserve_news(worker)) {
		free(trial);
		return -ENOMEM;
	}
	trial->number = number;
	trial->attempt.service = service_of(worker, service);
	trial->next = worker->trials;
	trial->link = &worker->trials;
	if (trial->next)
		trial->next->link = &trial->next;
	worker->trials = trial;
	begin_attempt(worker, &trial->attempt, address, on_tried);
	return 0;
}

static void end_trial(struct worker *worker, struct trial *trial)
{
	give_up_reserved(worker);
	drop_trial(worker, trial);
}

EXPORT void worker_forget_trial(struct worker *worker, uint64_t number)
{
	struct trial *trial = worker->trials;

	while (trial && trial->number != number)
		trial = trial->next;
	if (trial)
		end_trial(worker, trial);
}

void end_trials(struct worker *worker)
{
	while (worker->trials)
		end_trial(worker, worker->trials);
}
