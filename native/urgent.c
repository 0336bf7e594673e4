// SPDX-License-Identifier: GPL-2.0-only
#include "urgent.h"

#include "channel.h"
#include "loop.h"
#include "pair.h"
#include "redirect.h"
#include "sockets.h"
#include "system.h"
#include "timers.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHARE 10 /* looking takes one part in so many of the loop's time at most */

/* A signal does not tell for which socket. tcp_check_urg() sends it a moment before it writes down
 * that there is an urgent byte: behind the lock, which it has, that is written. */
static void look(struct worker *worker, void *owner)
{
	int64_t began = now(), ended;
	struct channel *channel;
	int slot;

	(void)owner;
	for (slot = 0; worker->kernel && slot < worker->kernel->capacity; slot++) {
		channel = channel_of_slot(worker, slot);
		if (!channel || state_of(channel) != STATE_REDIRECT)
			continue;
		fence(channel->source->fd);
		look_for_urgent(worker, channel);
	}
	ended = now();
	worker->urgent.not_before = ended + SHARE * (ended - began);
}

static bool is_handled(void)
{
	struct sigaction action;

	if (sigaction(SIGURG, NULL, &action))
		return false;
	return action.sa_flags & SA_SIGINFO ||
	       (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
}

static void on_signal(struct worker *worker, void *owner, uint32_t events)
{
	struct signalfd_siginfo info;
	struct urgent *urgent = owner;

	(void)events;
	if (sys.read(urgent->fd, &info, sizeof(info)) < 0)
		return; /* it was the whole process's, and another thread had it */
	/* By the main thread, whose number is the process's; if that runs the worker, it would come
	 * back here. */
	if (urgent->owner != getpid() && is_handled())
		syscall(SYS_tgkill, getpid(), getpid(), SIGURG);
	if (!urgent->timer.place)
		set_reserved_timer(worker, &urgent->timer, urgent->not_before, look, NULL);
}

static int open_urgent(struct worker *worker)
{
	struct urgent *urgent = &worker->urgent;
	sigset_t signals;
	int failed;

	sigemptyset(&signals);
	sigaddset(&signals, SIGURG);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	urgent->fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (urgent->fd < 0)
		return -errno;
	urgent->owner = (int)syscall(SYS_gettid);
	failed = reserve_timers(worker, 1);
	if (!failed) {
		failed = watch(worker, urgent->fd, EPOLLIN, on_signal, urgent);
		if (failed)
			reserve_timers(worker, -1);
	}
	if (failed) {
		sys.close(urgent->fd);
		urgent->fd = -1;
	}
	return failed;
}

int watch_urgent(struct worker *worker, int fd)
{
	int failed = worker->urgent.fd < 0 ? open_urgent(worker) : 0;
	struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = worker->urgent.owner};

	if (failed)
		return failed;
	return sys.fcntl(fd, F_SETOWN_EX, &owner) ? -errno : 0;
}

void close_urgent(struct worker *worker)
{
	cancel_timer(worker, &worker->urgent.timer);
	if (worker->urgent.fd >= 0)
		sys.close(worker->urgent.fd);
	worker->urgent.fd = -1;
}
