// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client and a server, over TCP or AF_UNIX, that check every byte at its place.
 *
 *     pingpong serve WHERE [blocking]
 *     pingpong rr|stream|crr WHERE SIZE SECONDS [STREAMS] [blocking]
 *
 * WHERE: ADDRESS:PORT, or a path. rr: requests and answers of SIZE bytes. stream: writes of
 * SIZE bytes one way, and then the server's word for how many came. crr: connect, one request
 * and answer, close. One connection at a time, and STREAMS others beside it, each a stream of a
 * process of its own. They wait as servers do, in a level-triggered epoll for sockets in
 * non-blocking mode; or, blocking, in read(2) and write(2). The client prints JSON; the client ends
 * with a line on stderr and status 1 at the first wrong byte, the server closes the connection.
 *
 * The byte at position p of either direction is pattern[p % PERIOD]. The pattern is random and
 * its length a prime, so that what is lost, repeated or exchanged does not fit.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PERIOD 1048573
#define MOST (1 << 20)
#define BUCKETS 4096 /* 64 for each power of two of nanoseconds */
#define STREAM 0
#define MOST_STREAMS 64
#define BESIDE (128 << 10) /* bytes of a write to a stream beside */

static unsigned char pattern[PERIOD + MOST], buffer[MOST];
static long histogram[BUCKETS];

struct way {
	int fd;
	uint64_t sent, received;
};

/* What the client shares with its streams. sent: by each of them, up to now. */
static struct {
	volatile int over;
	volatile uint64_t sent[MOST_STREAMS];
} * shared;

static jmp_buf next_connection;
static int serving;
static int epoll = -1; /* of this process; none where reads block */

/* A client ends. A server is there for the next one: it is not its fault. */
static void give_up(void)
{
	if (serving)
		longjmp(next_connection, 1);
	exit(1);
}

static void fail(const char *what)
{
	perror(what);
	give_up();
}

static void make_pattern(void)
{
	uint64_t state = 88172645463325252ULL; /* Marsaglia, "Xorshift RNGs", 2003 */
	size_t i;

	for (i = 0; i < PERIOD; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		pattern[i] = state >> 24;
	}
	for (; i < sizeof(pattern); i++)
		pattern[i] = pattern[i - PERIOD];
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* In each process: of an epoll that it shares with others it is told what is theirs. */
static void wait_in_epoll(void)
{
	epoll = epoll_create1(0);
	if (epoll < 0)
		fail("pingpong: epoll_create1");
}

static void do_not_block(int fd)
{
	if (fcntl(fd, F_SETFL, O_NONBLOCK))
		fail("pingpong: fcntl");
}

/* From here on its readers wait in the epoll. A closed one has left it. */
static void watch(int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (epoll < 0)
		return;
	do_not_block(fd);
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		fail("pingpong: epoll_ctl");
}

/* What is there, or else wait: as Go, memcached and PostgreSQL read. */
static ssize_t read_some(int fd, void *to, size_t size)
{
	struct epoll_event event;
	ssize_t got;

	while ((got = read(fd, to, size)) < 0 && epoll >= 0 && errno == EAGAIN)
		if (epoll_wait(epoll, &event, 1, -1) < 0 && errno != EINTR)
			fail("pingpong: epoll_wait");
	return got;
}

static ssize_t write_some(int fd, const void *from, size_t size)
{
	struct pollfd room = {.fd = fd, .events = POLLOUT};
	ssize_t put;

	while ((put = write(fd, from, size)) < 0 && epoll >= 0 && errno == EAGAIN)
		poll(&room, 1, -1);
	return put;
}

static void give(struct way *way, size_t size)
{
	while (size) {
		ssize_t put = write_some(way->fd, pattern + way->sent % PERIOD, size);

		if (put <= 0)
			fail("pingpong: write");
		way->sent += put;
		size -= put;
	}
}

/* Up to `size` bytes, checked; how many, 0 at the end. */
static size_t take_some(struct way *way, size_t size)
{
	ssize_t got = read_some(way->fd, buffer, size);

	if (got < 0)
		fail("pingpong: read");
	if (memcmp(buffer, pattern + way->received % PERIOD, got)) {
		fprintf(stderr, "pingpong: a wrong byte after %llu\n",
			(unsigned long long)way->received);
		give_up();
	}
	way->received += got;
	return got;
}

/* Whether all of them came; none at all is the end. */
static int take(struct way *way, size_t size)
{
	size_t rest = size;

	while (rest) {
		size_t got = take_some(way, rest);

		if (!got && rest == size)
			return 0;
		if (!got) {
			fprintf(stderr, "pingpong: an end in the middle of a message\n");
			give_up();
		}
		rest -= got;
	}
	return 1;
}

/* A number, which is not part of the pattern; 0 at the end. Without MSG_WAITALL, for which a
 * bypass would leave the connection to TCP. */
static int read_number(int fd, void *to, size_t size)
{
	size_t have = 0;
	ssize_t got;

	while (have < size && (got = read_some(fd, (char *)to + have, size - have)) > 0)
		have += got;
	return have == size;
}

static socklen_t parse(const char *where, struct sockaddr_storage *to)
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

static void no_delay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* not of AF_UNIX */
}

/* The next connection to a listener, which blocks if they do: that is what a server is judged by
 * before it has accepted anything. Of the workers that wait for it one is woken. */
static int next(int listener)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};
	static int gate = -1;
	int fd;

	if (epoll >= 0 && gate < 0) {
		gate = epoll_create1(0);
		if (gate < 0 || epoll_ctl(gate, EPOLL_CTL_ADD, listener, &event))
			fail("pingpong: epoll");
	}
	while ((fd = accept(listener, NULL, NULL)) < 0 && epoll >= 0 && errno == EAGAIN)
		epoll_wait(gate, &event, 1, -1);
	return fd;
}

static void serve(const char *where)
{
	struct sockaddr_storage at;
	socklen_t length = parse(where, &at);
	int one = 1, workers, listener = socket(at.ss_family, SOCK_STREAM, 0);

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (void *)&at, length) || listen(listener, 128))
		fail("pingpong: listen");
	if (epoll >= 0)
		do_not_block(listener);
	serving = 1;
	/* As many as there are connections at a time: to fork for each would be to measure that. */
	for (workers = 0; workers < MOST_STREAMS; workers++) {
		pid_t parent = getpid();

		if (fork())
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			exit(0);
		if (epoll >= 0)
			wait_in_epoll();
		break;
	}
	for (;;) {
		static struct way way; /* not lost by longjmp() */
		uint32_t size;

		if (setjmp(next_connection))
			close(way.fd);
		way = (struct way){.fd = next(listener)};
		if (way.fd < 0) {
			perror("pingpong: accept");
			exit(1);
		}
		watch(way.fd);
		no_delay(way.fd);
		if (read_number(way.fd, &size, sizeof(size))) {
			if (size == STREAM) {
				while (take_some(&way, MOST))
					;
				if (write_some(way.fd, &way.received, sizeof(way.received)) < 0)
					fail("pingpong: write");
			} else {
				while (take(&way, size))
					give(&way, size);
			}
		}
		close(way.fd);
	}
}

static struct way dial(struct sockaddr_storage *to, socklen_t length, uint32_t size)
{
	struct way way = {.fd = socket(to->ss_family, SOCK_STREAM, 0)};

	if (epoll >= 0)
		do_not_block(way.fd);
	if (connect(way.fd, (void *)to, length) && errno != EINPROGRESS)
		fail("pingpong: connect");
	watch(way.fd);
	no_delay(way.fd);
	if (write_some(way.fd, &size, sizeof(size)) != sizeof(size))
		fail("pingpong: write");
	return way;
}

static void note(uint64_t spent)
{
	int power = spent < 64 ? 0 : 63 - __builtin_clzll(spent) - 5;
	int bucket = power * 64 + (power ? (spent >> power) : spent);

	histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

static double percentile(long count, double share)
{
	long wanted = count * share, seen = 0;
	int bucket;

	for (bucket = 0; bucket < BUCKETS; bucket++) {
		seen += histogram[bucket];
		if (seen > wanted)
			break;
	}
	return (double)((uint64_t)(bucket % 64) << (bucket / 64)) / 1e3;
}

static void finish_stream(struct way *way)
{
	uint64_t arrived = 0;

	shutdown(way->fd, SHUT_WR);
	if (!read_number(way->fd, &arrived, sizeof(arrived)) || arrived != way->sent) {
		fprintf(stderr, "pingpong: %llu bytes sent, %llu arrived\n",
			(unsigned long long)way->sent, (unsigned long long)arrived);
		exit(1);
	}
}

/* A process that streams until it is over. */
static void stream_beside(struct sockaddr_storage *to, socklen_t length, int number)
{
	struct way way;

	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (epoll >= 0)
		wait_in_epoll();
	way = dial(to, length, STREAM);
	while (!shared->over) {
		give(&way, BESIDE);
		shared->sent[number] = way.sent;
	}
	finish_stream(&way);
	exit(0);
}

static void begin_streams(struct sockaddr_storage *to, socklen_t length, int count)
{
	int number;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		fail("pingpong: mmap");
	for (number = 0; number < count; number++)
		stream_beside(to, length, number);
	for (number = 0; number < count; number++) {
		while (!shared->sent[number]) {
			if (waitpid(-1, NULL, WNOHANG) > 0)
				exit(1); /* it has said why */
			usleep(1000);
		}
	}
}

/* What they have sent so far. */
static uint64_t sent_beside(int count)
{
	uint64_t sent = 0;

	while (count--)
		sent += shared->sent[count];
	return sent;
}

static void end_streams(int count)
{
	int status;

	shared->over = 1;
	while (count--)
		if (wait(&status) < 0 || status)
			exit(1);
}

/* A program is known by its connections of before: that it reads until there is no more. */
static void acquaint(struct sockaddr_storage *to, socklen_t length, uint32_t size)
{
	struct way way = dial(to, length, size);
	int turn;

	for (turn = 0; turn < 32; turn++) {
		give(&way, size);
		take(&way, size);
		if (epoll >= 0 && read(way.fd, buffer, 1) >= 0)
			fail("pingpong: more than the answer");
	}
	close(way.fd);
}

static void measure(const char *mode, const char *where, uint32_t size, double seconds, int streams)
{
	int crr = !strcmp(mode, "crr"), stream = !strcmp(mode, "stream");
	struct sockaddr_storage to;
	socklen_t length = parse(where, &to);
	struct way way = {.fd = -1};
	uint64_t begin, before, end, bytes = 0, beside;
	long done;

	if (!stream)
		acquaint(&to, length, size);
	begin_streams(&to, length, streams);
	beside = sent_beside(streams);
	if (!crr)
		way = dial(&to, length, stream ? STREAM : size);
	begin = end = now();
	for (done = 0; end - begin < seconds * 1e9; done++) {
		before = end;
		if (crr)
			way = dial(&to, length, size);
		give(&way, size);
		if (!stream && !take(&way, size)) {
			fprintf(stderr, "pingpong: an end in place of an answer\n");
			exit(1);
		}
		if (crr) {
			bytes += way.sent + way.received;
			close(way.fd);
		}
		if (!stream || done % 16 == 0)
			end = now();
		if (!stream)
			note(end - before);
	}
	if (stream)
		finish_stream(&way);
	end = now();
	beside = sent_beside(streams) - beside;
	if (!crr)
		bytes = way.sent + way.received;
	end_streams(streams);
	printf("{\"messages\": %ld, \"bytes\": %llu, \"seconds\": %.6f, \"mean_us\": %.3f, "
	       "\"p50_us\": %.3f, \"p99_us\": %.3f, \"beside\": %llu, \"beside_in_all\": %llu}\n",
	       done, (unsigned long long)bytes, (end - begin) / 1e9, (end - begin) / 1e3 / done,
	       percentile(done, 0.5), percentile(done, 0.99), (unsigned long long)beside,
	       (unsigned long long)sent_beside(streams));
}

int main(int argc, char **argv)
{
	make_pattern();
	signal(SIGPIPE, SIG_IGN);
	if (argc > 3 && !strcmp(argv[argc - 1], "blocking"))
		argc--;
	else
		wait_in_epoll();
	if (argc == 3 && !strcmp(argv[1], "serve")) {
		serve(argv[2]);
	} else if ((argc == 5 || argc == 6) && strtoul(argv[3], NULL, 10) - 1 < MOST) {
		unsigned long streams = argc == 6 ? strtoul(argv[5], NULL, 10) : 0;

		if (streams < MOST_STREAMS) {
			measure(argv[1], argv[2], strtoul(argv[3], NULL, 10), atof(argv[4]),
				streams);
			return 0;
		}
	}
	fprintf(stderr,
		"usage: pingpong serve WHERE, or rr|stream|crr WHERE SIZE SECONDS "
		"[STREAMS, fewer than %d]; then [blocking]\n",
		MOST_STREAMS);
	return 2;
}
