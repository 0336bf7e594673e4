// SPDX-License-Identifier: GPL-2.0-only
#include "sockets.h"

#include "system.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>

int fence(int fd)
{
	socklen_t size = 1;
	uint8_t state = 0;

	return sys.getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &size) ? CLOSED : state;
}

int take_error(int fd, bool sending)
{
	socklen_t size = sizeof(int);
	int number = 0;

	if (sending)
		return RETRY(sys.send(fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL)) < 0 ? errno : 0;
	return sys.getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size) ? errno : number;
}

void kick(int fd)
{
	int one = 1;

	sys.setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
}

bool has_space(int fd)
{
	struct pollfd asked = {.fd = fd, .events = POLLOUT};

	return sys.poll(&asked, 1, 0) !=
	       0; /* where it does not tell: look again, wait for nobody */
}

static int ask(int fd, unsigned long what)
{
	int answer = 0;

	return sys.ioctl(fd, what, &answer) ? -errno : answer;
}

int unacknowledged(int fd)
{
	return ask(fd, SIOCOUTQ);
}

int at_urgent_mark(int fd)
{
	return ask(fd, SIOCATMARK);
}

int read_cookie(int fd, uint64_t *cookie)
{
	socklen_t size = sizeof(*cookie);

	return sys.getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookie, &size) ? -errno : 0;
}

void read_upper_protocol(int fd, char name[16])
{
	socklen_t size = 15;

	name[0] = name[15] = 0;
	if (sys.getsockopt(fd, IPPROTO_TCP, TCP_ULP, name, &size))
		name[0] = 0; /* a kernel that knows none */
	else
		name[size] = 0;
}

static void close_as(int fd, bool reset)
{
	struct linger linger = {.l_onoff = reset};

	sys.setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	sys.close(fd);
}

void close_in_order(int fd)
{
	close_as(fd, false);
}

void close_with_reset(int fd)
{
	close_as(fd, true);
}
