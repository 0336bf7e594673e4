// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client and a server in two processes on one CPU, over TCP on loopback or AF_UNIX, and
 * how much they get done.
 *
 *     pingpong tcp|unix rr|stream|crr SIZE SECONDS CPU
 *
 * rr: requests and answers of SIZE bytes. stream: writes of SIZE bytes in one direction.
 * crr: connect, one request and answer, close. Prints transactions, or MiB, per second.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST (1 << 20)

static char buffer[MOST];

static void need(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int take(int fd, size_t size)
{
	while (size) {
		ssize_t got = read(fd, buffer, size);

		if (got <= 0)
			return 0;
		size -= got;
	}
	return 1;
}

static void give(int fd, size_t size)
{
	while (size) {
		ssize_t put = write(fd, buffer, size);

		need(put > 0, "write");
		size -= put;
	}
}

static int plain_tcp;

static int dial(struct sockaddr *to, socklen_t length)
{
	int one = 1, fd = socket(to->sa_family, SOCK_STREAM, 0);

	need(fd >= 0, "socket");
	need(!connect(fd, to, length), "connect");
	if (plain_tcp)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void serve(int listener, const char *mode, size_t size)
{
	for (;;) {
		int one = 1, fd = accept(listener, NULL, NULL);

		if (fd < 0)
			exit(1);
		if (plain_tcp)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (!strcmp(mode, "stream"))
			while (read(fd, buffer, MOST) > 0)
				;
		else
			while (take(fd, size))
				give(fd, size);
		close(fd);
	}
}

static double measure(const char *mode, size_t size, double seconds, struct sockaddr *to,
		      socklen_t length)
{
	int crr = !strcmp(mode, "crr"), stream = !strcmp(mode, "stream");
	int fd = crr ? -1 : dial(to, length);
	double begin = now(), end = begin;
	long done = 0;

	for (; end - begin < seconds; done++) {
		if (crr)
			fd = dial(to, length);
		give(fd, size);
		if (!stream)
			need(take(fd, size), "read");
		if (crr)
			close(fd);
		if (!stream || done % 64 == 0)
			end = now();
	}
	end = now();
	if (!crr)
		close(fd);
	return done / (end - begin) * (stream ? size / 1048576.0 : 1);
}

int main(int argc, char **argv)
{
	struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	struct sockaddr *to = (struct sockaddr *)&tcp;
	socklen_t length = sizeof(tcp);
	cpu_set_t cpu;
	int listener;
	pid_t server;
	size_t size;

	if (argc != 6 || (size = strtoul(argv[3], NULL, 10)) > MOST) {
		fprintf(stderr, "usage: pingpong tcp|unix rr|stream|crr SIZE SECONDS CPU\n");
		return 2;
	}
	plain_tcp = !strcmp(argv[1], "tcp");
	if (!plain_tcp) {
		/* An abstract name: nothing is left in the file system. */
		snprintf(local.sun_path + 1, sizeof(local.sun_path) - 1, "pingpong-%d", getpid());
		to = (struct sockaddr *)&local;
		length = sizeof(local);
	}
	CPU_ZERO(&cpu);
	CPU_SET(atoi(argv[5]), &cpu);
	need(!sched_setaffinity(0, sizeof(cpu), &cpu), "sched_setaffinity");
	listener = socket(to->sa_family, SOCK_STREAM, 0);
	need(listener >= 0 && !bind(listener, to, length) && !listen(listener, 128), "listen");
	need(!getsockname(listener, to, &length), "getsockname");
	server = fork();
	need(server >= 0, "fork");
	if (!server)
		serve(listener, argv[2], size);
	printf("%.2f\n", measure(argv[2], size, atof(argv[4]), to, length));
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	return 0;
}
