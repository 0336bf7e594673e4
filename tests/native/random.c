// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clients and servers of random habits, and workers between them whose system calls fail, are
 * short and are interrupted at random: every byte that arrives is the right one, an end that is
 * told as a FIN comes behind all of them, and at last no descriptor is left. Either end may be a
 * Unix socket, to which the end of a stream is told also where the other one was reset.
 *
 *     random SEED SECONDS WORKERS
 */
#include "check.h"
#include "door.h"
#include "proxy_protocol.h"
#include "rules.h"
#include "system.h"
#include "upstreams.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	MOST = 24,  /* pairs of a client and its server at a time */
	FULL = 20,  /* clients that are accepted at a time */
	PLACES = 8, /* of them with an upstream at a time: others wait */
	MOST_WORKERS = 4,
	LONGEST = 300000, /* bytes at once */
};

/* One of the two ends of a connection through the worker. */
struct peer {
	int fd; /* -1: it is closed */
	uint64_t sent, got;
	bool finished; /* has sent its FIN */
	bool ended;    /* has got the other end's */
	bool is_unix;
};

/* name: what a client says first, by which its server is known. What a Unix socket said that has
 * been closed long ago may still come, so no two have the same. Before it a client of TCP has a
 * header of the PROXY protocol, which comes in parts. */
struct couple {
	struct peer client, server;
	uint32_t name;
	unsigned char header[LONGEST_PREFACE];
	size_t header_size, header_sent;
	bool used;
};

static struct couple couples[MOST];
static int listeners[2], entrances[2]; /* of TCP, and Unix sockets */
static int unknown[2][MOST];	       /* accepted, and nothing has come; 0 or less: none */
static struct address servers[3];
static unsigned long begun, met, ends;
static uint64_t heard;
static atomic_uint failures; /* of 1000 calls; 0: none */
static struct worker *workers[MOST_WORKERS];
static int workers_count = 1;
static const struct system *real;
static struct system kept;

/* -- calls that fail -- */

static bool fails(int number)
{
	if ((unsigned)(random() % 1000) >= failures)
		return false;
	errno = number;
	return true;
}

static int bad_accept4(int fd, struct sockaddr *at, socklen_t *size, int flags)
{
	static const int numbers[] = {EMFILE, ECONNABORTED, EINTR, ENOBUFS};

	return fails(numbers[random() % 4]) ? -1 : real->accept4(fd, at, size, flags);
}

static int bad_connect(int fd, const struct sockaddr *at, socklen_t size)
{
	static const int numbers[] = {ENOBUFS, ETIMEDOUT, EADDRNOTAVAIL, EAGAIN};

	return fails(numbers[random() % 4]) ? -1 : real->connect(fd, at, size);
}

static int bad_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
	return what == EPOLL_CTL_ADD && fails(ENOMEM) ? -1
						      : real->epoll_ctl(epoll, what, fd, event);
}

static int bad_epoll_wait(int epoll, struct epoll_event *events, int most, int wait)
{
	return fails(EINTR) ? -1 : real->epoll_wait(epoll, events, most, wait);
}

static int bad_pipe2(int pipe[2], int flags)
{
	return random() % 3 == 0 && failures ? (errno = EMFILE, -1) : real->pipe2(pipe, flags);
}

static ssize_t bad_splice(int from, loff_t *in, int to, loff_t *out, size_t size, unsigned flags)
{
	if (fails(EINTR))
		return -1;
	if (failures && random() % 8 == 0)
		size = 1 + (size_t)random() % size;
	return real->splice(from, in, to, out, size, flags);
}

static ssize_t bad_read(int fd, void *into, size_t size)
{
	if (fails(EINTR))
		return -1;
	return real->read(fd, into, failures && random() % 2 ? 1 + (size_t)random() % size : size);
}

static ssize_t bad_recv(int fd, void *into, size_t size, int flags)
{
	static const int numbers[] = {EINTR, ECONNRESET};

	return fails(numbers[random() % 2]) ? -1 : real->recv(fd, into, size, flags);
}

static ssize_t bad_send(int fd, const void *from, size_t size, int flags)
{
	if (size && fails(EINTR))
		return -1;
	if (size && failures && random() % 4 == 0)
		size = 1 + (size_t)random() % size;
	return real->send(fd, from, size, flags);
}

static int bad_socket(int family, int type, int protocol)
{
	return fails(EMFILE) ? -1 : real->socket(family, type, protocol);
}

static void *bad_realloc(void *old, size_t size)
{
	return fails(ENOMEM) ? NULL : real->realloc(old, size);
}

static void fail_from_now_on(void)
{
	kept = sys;
	real = &kept;
	sys.accept4 = bad_accept4;
	sys.connect = bad_connect;
	sys.epoll_ctl = bad_epoll_ctl;
	sys.epoll_wait = bad_epoll_wait;
	sys.pipe2 = bad_pipe2;
	sys.splice = bad_splice;
	sys.read = bad_read;
	sys.send = bad_send;
	sys.socket = bad_socket;
	sys.realloc = bad_realloc;
	sys.recv = bad_recv;
}

/* -- peers -- */

/* The byte at this place of what the client or the server sends. */
static unsigned char byte_at(int number, bool of_server, uint64_t place)
{
	uint32_t name = couples[number].name;

	if (place < sizeof(name))
		return (unsigned char)(name >> 8 * place);
	return (unsigned char)(place * 31 + (place >> 8) * 17 + name * 7 + of_server);
}

static void close_peer(struct peer *peer, bool reset)
{
	struct linger linger = {.l_onoff = reset};

	if (peer->fd < 0)
		return;
	setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(peer->fd);
	peer->fd = -1;
}

static void write_header(struct couple *couple)
{
	struct two_addresses ends = {
		.near = {.family = AF_INET, .port = 80, .host = {192, 0, 2, 1}},
		.far = {.family = AF_INET, .port = 7, .host = {10, 0, 0, (uint8_t)(random() % 3)}},
	};

	couple->header_size = write_preface(1 + (uint32_t)random() % 2, &ends, couple->header);
	if (random() % 20 == 0)
		couple->header[0] ^= 0x55; /* it is none: else it may be another one */
}

/* Whether it is all said. */
static bool say_header(struct couple *couple)
{
	size_t left = couple->header_size - couple->header_sent;
	ssize_t sent;

	if (!left)
		return true;
	if (random() % 4 == 0)
		left = 1 + (size_t)random() % left;
	sent = send(couple->client.fd, couple->header + couple->header_sent, left,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent > 0)
		couple->header_sent += (size_t)sent;
	else if (errno != EAGAIN)
		close_peer(&couple->client, true);
	return false;
}

static void say_more(int number, struct peer *peer, bool of_server)
{
	static unsigned char bytes[LONGEST];
	size_t size = random() % 16 ? 1 + (size_t)random() % 100 : 1 + (size_t)random() % LONGEST;
	ssize_t sent;
	size_t each;

	if (peer->fd < 0 || peer->finished || (!of_server && !say_header(&couples[number])))
		return;
	for (each = 0; each < size; each++)
		bytes[each] = byte_at(number, of_server, peer->sent + each);
	sent = send(peer->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent > 0)
		peer->sent += (uint64_t)sent;
	else if (errno != EAGAIN)
		close_peer(peer, true);
}

/* other: who has sent what comes. */
static void hear_more(int number, struct peer *peer, const struct peer *other, bool of_server)
{
	static unsigned char bytes[LONGEST];
	ssize_t got, each;

	if (peer->fd < 0 || peer->ended)
		return;
	got = recv(peer->fd, bytes, 1 + (size_t)random() % LONGEST, MSG_DONTWAIT);
	for (each = 0; each < got; each++)
		CHECK(bytes[each] == byte_at(number, !of_server, peer->got + (uint64_t)each));
	if (got > 0) {
		peer->got += (uint64_t)got;
		heard += (uint64_t)got;
	} else if (!got) {
		/* A FIN: the other end has sent one, or closed a Unix socket, perhaps before it was
		 * known, and all before it has come. */
		CHECK(peer->is_unix || other->finished ||
		      (other->fd < 0 && (other->is_unix || !other->sent)));
		CHECK(peer->is_unix || peer->got == other->sent);
		peer->ended = true;
		ends++;
	} else if (errno != EAGAIN) {
		close_peer(peer, true);
	}
}

static void finish(struct peer *peer)
{
	if (peer->fd < 0 || peer->finished)
		return;
	peer->finished = true;
	shutdown(peer->fd, SHUT_WR);
}

static int connected_socket(bool is_unix)
{
	struct sockaddr_storage at;
	socklen_t size = sizeof(at);
	int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	CHECK(fd >= 0 && !getsockname(entrances[is_unix], (struct sockaddr *)&at, &size));
	if (connect(fd, (struct sockaddr *)&at, size) && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

static void begin_couple(void)
{
	bool is_unix = random() % 3 == 0;
	int number;

	for (number = 0; number < MOST && couples[number].used; number++)
		;
	if (number == MOST)
		return;
	couples[number] = (struct couple){.client.fd = connected_socket(is_unix), .server.fd = -1};
	couples[number].client.is_unix = is_unix;
	couples[number].used = couples[number].client.fd >= 0;
	couples[number].name = (uint32_t)begun++;
	if (!is_unix)
		write_header(&couples[number]);
}

/* A server's socket is known by its first bytes, which may come later, or never all. */
static bool is_known(int fd, bool is_unix)
{
	struct pollfd asked = {.fd = fd, .events = POLLRDHUP};
	bool ended = poll(&asked, 1, 0) > 0;
	uint32_t name = 0;
	ssize_t got = recv(fd, &name, sizeof(name), MSG_PEEK);
	int number;

	if (got < (ssize_t)sizeof(name) && !ended)
		return false;
	for (number = 0; got == sizeof(name) && number < MOST; number++) {
		if (!couples[number].used || couples[number].name != name)
			continue;
		CHECK(recv(fd, &name, sizeof(name), 0) == sizeof(name));
		couples[number].server =
			(struct peer){.fd = fd, .got = sizeof(name), .is_unix = is_unix};
		met++;
		return true;
	}
	close(fd); /* its client has gone */
	return true;
}

static void accept_servers(bool is_unix)
{
	int each, *fd;

	for (each = 0; each < MOST; each++) {
		fd = &unknown[is_unix][each];
		if (*fd <= 0)
			*fd = accept4(listeners[is_unix], NULL, NULL, SOCK_NONBLOCK);
		if (*fd > 0 && is_known(*fd, is_unix))
			*fd = 0;
	}
}

static void live(int number)
{
	struct couple *couple = &couples[number];
	struct peer *client = &couple->client, *server = &couple->server;

	if (!couple->used)
		return;
	switch (random() % 12) {
	case 0:
	case 1:
	case 2:
		say_more(number, client, false);
		break;
	case 3:
	case 4:
	case 5:
		if (server->fd >= 0)
			say_more(number, server, true);
		break;
	case 6:
	case 7:
		hear_more(number, client, server, false);
		break;
	case 8:
	case 9:
		hear_more(number, server, client, true);
		break;
	case 10:
		if (random() % 4 == 0)
			finish(random() % 2 ? client : server);
		break;
	default:
		if (random() % 20 == 0)
			close_peer(random() % 2 ? client : server, true);
		break;
	}
	if (client->fd >= 0 && (server->fd >= 0 || !client->ended))
		return;
	if (server->fd >= 0 && client->fd < 0 && random() % 20)
		return;
	close_peer(client, true);
	close_peer(server, true);
	couple->used = false;
}

/* -- the whole -- */

static int listening_socket(bool is_unix, in_addr_t where)
{
	struct linger reset = {.l_onoff = 1};
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(where)};
	struct sockaddr_un any = {.sun_family = AF_UNIX}; /* an abstract one, of a free name */
	int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), failed;

	if (is_unix)
		failed = bind(fd, (struct sockaddr *)&any, sizeof(any.sun_family));
	else
		failed = bind(fd, (struct sockaddr *)&at, sizeof(at));
	CHECK(fd >= 0 && !failed && !listen(fd, 100));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	return fd;
}

static struct address address_of(int fd)
{
	struct address address = {.family = AF_INET, .host = {127, 0, 0, 1}};
	struct sockaddr_in at;
	socklen_t size = sizeof(at);

	CHECK(!getsockname(fd, (struct sockaddr *)&at, &size));
	address.port = ntohs(at.sin_port);
	return address;
}

/* Headers are expected of all; some hosts come too often, or are denied. */
static void set_rules(struct worker *worker)
{
	static const struct network everybody = {.bits = 0};
	static const struct network denied = {.first = {[10] = 0xff, 0xff, 10, 0, 0, 2},
					      .bits = 128};

	CHECK(!worker_set_networks(worker, 0, NETWORKS_TRUSTED, &everybody, 1));
	CHECK(!worker_set_networks(worker, 0, NETWORKS_DENIED, &denied, 1));
	CHECK(!worker_limit_hosts(worker, 0, MOST / 3, MILLISECOND, 20));
	CHECK(!worker_limit_times(worker, 0, -1, SECOND));
	CHECK(!worker_set_patience(worker, 0, SECOND / 5));
}

static struct address unix_address_of(struct worker *worker, int fd)
{
	struct address address, again;
	struct sockaddr_un at;
	socklen_t size = sizeof(at);
	char path[sizeof(at.sun_path)];
	uint32_t length;

	CHECK(!getsockname(fd, (struct sockaddr *)&at, &size));
	length = (uint32_t)(size - sizeof(at.sun_family));
	CHECK(!worker_name_path(worker, at.sun_path, length, &address));
	CHECK(!worker_name_path(worker, at.sun_path, length, &again));
	CHECK(!memcmp(&address, &again, sizeof(again)));
	CHECK(worker_read_path(worker, address.port, path) == length);
	CHECK(!memcmp(path, at.sun_path, length));
	CHECK(!worker_read_path(worker, address.port + 1U, path) &&
	      !worker_read_path(worker, 0, path));
	CHECK(worker_name_path(worker, path, 0, &again) == -EINVAL);
	CHECK(worker_name_path(worker, path, sizeof(path) + 1, &again) == -EINVAL);
	return address;
}

/* Two names of one server, and another by a Unix socket, of which sometimes some are there, have
 * few places, are drained or down. */
static void set_upstreams(struct worker *worker)
{
	struct upstream given[3] = {{.most = PLACES}, {.most = PLACES}, {.most = PLACES}};
	uint32_t count = 1 + (uint32_t)random() % 3, each;

	for (each = 0; each < count; each++) {
		given[each].address = servers[each];
		given[each].share = random() % 8 ? 1 + (uint32_t)random() % 512 : 0;
		given[each].most = random() % 4 ? PLACES : 0;
		given[each].down = random() % 4 == 0;
	}
	worker_set_targets(worker, 0, given, count);
}

static void open_first(struct worker *worker)
{
	struct linger reset = {.l_onoff = 1};

	worker_limit_clients(worker, FULL);
	CHECK(worker_serve(worker, SECOND / 5, 0, random() % (BALANCE_SOURCE + 1)) == 0);
	CHECK(!worker_set_option(worker, 0, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset), 0));
	servers[0] = servers[1] = address_of(listeners[0]);
	servers[1].host[3] = 2;
	servers[2] = unix_address_of(worker, listeners[1]);
	set_upstreams(worker);
	set_rules(worker);
}

static void open_workers(void)
{
	struct worker *worker;
	int each;

	for (each = 0; each < workers_count; each++) {
		worker = workers[each] = worker_new(workers[0]);
		CHECK(worker);
		CHECK(!worker_limit(worker, 1 << 20, 0, 300 * MILLISECOND, 20));
		worker_tell(worker, INTEREST_CHANGED | INTEREST_FAILED | INTEREST_ENDED);
	}
	open_first(workers[0]);
	for (each = 0; each < workers_count; each++) {
		CHECK(!worker_listen(workers[each], 0, entrances[0]));
		CHECK(!worker_listen(workers[each], 0, entrances[1]));
	}
}

/* With those who wait for a place. */
static uint32_t clients_of_upstreams(struct worker *worker)
{
	struct upstream_stats stats[3];
	uint32_t sum, count = worker_read_targets(worker, 0, stats, 3, &sum), each;

	CHECK(count <= 3);
	for (each = 0; each < count; each++)
		sum += stats[each].clients;
	return sum;
}

static void run(struct worker *worker)
{
	struct news news[64];
	uint32_t count = worker_run(worker, random() % 4 ? 0 : MILLISECOND, news, 64), each;

	for (each = 0; each < count; each++) {
		if (news[each].kind == NEWS_SILENT)
			worker_has_answered(worker, 0, &news[each].upstream.far);
		if (news[each].kind == NEWS_ENDED)
			CHECK(news[each].stats->number == news[each].number);
	}
}

static atomic_bool over, stopped;

static void *run_another(void *worker)
{
	while (!atomic_load(&stopped))
		run(worker);
	return NULL;
}

/* Another thread, which reads the table all the while. */
static void *read_table(void *worker)
{
	struct pair_stats live[MOST];
	uint64_t moved, before = 0;
	struct totals ended;
	uint32_t count, each;

	while (!atomic_load(&over)) {
		count = worker_read(worker, &ended, live, MOST);
		moved = ended.pumped;
		for (each = 0; each < count && each < MOST; each++) {
			CHECK(live[each].number && live[each].forward.why[0]);
			moved += live[each].forward.pumped + live[each].backward.pumped;
		}
		CHECK(count > MOST || moved >= before);
		before = moved;
		usleep(100);
	}
	return NULL;
}

static int count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	CHECK(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static void close_all(void)
{
	int number, kind;

	for (number = 0; number < MOST; number++) {
		close_peer(&couples[number].client, true);
		close_peer(&couples[number].server, true);
	}
	for (kind = 0; kind < 2; kind++) {
		for (number = 0; number < MOST; number++) {
			if (unknown[kind][number] > 0)
				close(unknown[kind][number]);
			unknown[kind][number] = 0;
		}
		while ((number = accept(listeners[kind], NULL, NULL)) >= 0)
			close(number);
	}
}

int main(int count, char **arguments)
{
	unsigned seed = count > 1 ? (unsigned)strtoul(arguments[1], NULL, 0) : 1;
	int64_t end = now() + (count > 2 ? strtoll(arguments[2], NULL, 0) : 1) * SECOND;
	pthread_t readers[MOST_WORKERS], threads[MOST_WORKERS];
	struct totals ended, live_now;
	int before, number;
	unsigned long turn;

	for (number = 0; number < MOST; number++)
		couples[number].client.fd = couples[number].server.fd = -1;
	workers_count = count > 3 ? atoi(arguments[3]) : 1;
	CHECK(workers_count > 0 && workers_count <= MOST_WORKERS);
	signal(SIGPIPE, SIG_IGN);
	srandom(seed);
	for (number = 0; number < 2; number++) {
		listeners[number] = listening_socket(number, INADDR_ANY);
		entrances[number] = listening_socket(number, INADDR_LOOPBACK);
	}
	before = count_descriptors();
	fail_from_now_on();
	open_workers();
	for (number = 0; number < workers_count; number++)
		CHECK(!pthread_create(&readers[number], NULL, read_table, workers[number]));
	for (number = 1; number < workers_count; number++)
		CHECK(!pthread_create(&threads[number], NULL, run_another, workers[number]));
	for (turn = 0; now() < end; turn++) {
		failures = turn / 200 % 3 ? (unsigned)random() % 40 : 0;
		if (random() % 50 == 0)
			set_upstreams(workers[0]);
		CHECK(clients_of_upstreams(workers[0]) <= FULL + (unsigned)workers_count);
		if (random() % 2)
			begin_couple();
		accept_servers(false);
		accept_servers(true);
		run(workers[0]);
		CHECK(worker_clients(workers[0]) <= FULL + (unsigned)workers_count);
		for (number = 0; number < MOST; number++)
			live(number);
	}
	failures = 0;
	for (end = now() + 5 * SECOND; now() < end && (turn < 100 || worker_clients(workers[0]));) {
		close_all();
		run(workers[0]);
	}
	CHECK(!worker_clients(workers[0]));
	CHECK(!clients_of_upstreams(workers[0]));
	atomic_store(&over, true);
	atomic_store(&stopped, true);
	for (number = 0; number < workers_count; number++)
		pthread_join(readers[number], NULL);
	for (number = 1; number < workers_count; number++)
		pthread_join(threads[number], NULL);
	for (number = 0; number < workers_count; number++) {
		CHECK(!worker_live(workers[number]));
		worker_listen_no_more(workers[number]);
		worker_sum(workers[number], &ended, &live_now);
		CHECK(ended.pairs);
	}
	while (workers_count)
		worker_free(workers[--workers_count]);
	sys = kept;
	close_all();
	CHECK(count_descriptors() == before);
	printf("seed %u: %lu turns, %lu clients, %lu served, %lu ends, %llu bytes\n", seed, turn,
	       begun, met, ends, (unsigned long long)heard);
	return 0;
}
