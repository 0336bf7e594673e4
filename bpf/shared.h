/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by the BPF programs and by user space: the layout of what lies in the
 * maps. Python reads the lines between the two markers with cffi, so only enums,
 * plain structs and arrays may stand there: no attributes, no computed macros.
 * Both sides assert the sizes (layout.h and sockproxy/bpf/abi.py).
 */
#ifndef SOCKPROXY_SHARED_H
#define SOCKPROXY_SHARED_H

/* shared: begin */

/* What happens to the bytes of one direction. HOLD is zero so that a direction
 * nobody has set up leaves its bytes where they are: in TCP's receive queue. */
enum direction_action {
	ACTION_HOLD = 0,
	ACTION_REDIRECT = 1,
	ACTION_PASS = 2,
	ACTION_DROP = 3,
};

/* Why the parser stopped taking bytes from a socket. */
enum hold_reason {
	HELD_NOT = 0,
	HELD_BUDGET = 1,
	HELD_ON_REQUEST = 2,
	HELD_TARGET_GONE = 3,
	HELD_PART_READ = 4,
	HELD_TOO_LONG = 5,
	HELD_URGENT = 6, /* an urgent byte is on its way, or here */
};

/* One direction of a pair, at the slot of the socket that the bytes come from.
 * The first three fields and the owner are the controller's, the others the programs'. The
 * programs run under that socket's lock: a direction has one writer. */
struct direction {
	uint32_t action; /* enum direction_action */
	uint32_t target; /* slot of the socket that the bytes go to */
	uint32_t budget; /* bytes of memory that the backlog may take */
	uint32_t held;	 /* enum hold_reason; the controller clears it */
	uint32_t anchored;
	uint32_t anchor;   /* the target's write_seq when queued was 0 */
	uint32_t queued;   /* bytes redirected since, modulo 2^32 */
	uint32_t backlog;  /* the most memory that its backlog was seen to take, bytes */
	uint32_t overhead; /* of one skb in the backlog, beyond its bytes: the largest */
	uint32_t reserved;
	uint64_t owner; /* cookie of the socket whose slot the controller will free */
	uint64_t redirected_bytes;
	uint64_t redirected_skbs;
	uint64_t passed_bytes;
	uint64_t passed_skbs;
	uint64_t dropped_bytes;
	uint64_t dropped_skbs;
	uint64_t lost_bytes; /* redirected to a target that had just gone */
	uint64_t holds;
};

/* A record of the ring buffer: the direction at this slot was held. */
struct hold_event {
	uint32_t slot;
	uint32_t reason; /* enum hold_reason */
};

/* What the inspect program sees of the socket in a slot. */
struct inspection {
	uint32_t slot; /* in */
	uint32_t found;
	uint32_t state;	    /* TCP_ESTABLISHED and so on */
	uint32_t write_seq; /* next byte that a send will take */
	uint32_t snd_una;   /* first byte that the peer has not acknowledged */
	uint32_t rcv_nxt;
	uint32_t copied_seq;
	uint32_t backlog_skbs;	 /* skbs redirected to it and not yet sent */
	uint32_t retries;	 /* this kernel tries again to send a backlog */
	uint32_t parser_used;	 /* its psock has had a stream parser before */
	uint32_t parser_working; /* the parser's work item is queued */
	uint32_t urgent;	 /* an urgent byte is announced, and not read */
};

/* What sock_ops did, for all sockets of the cgroup. */
struct enrolment {
	uint64_t enrolled;
	uint64_t no_slot;
	uint64_t refused; /* the kernel would not add the socket */
	uint64_t multipath;
};

/* Why the messages of a socket of a bypass can not skip TCP. */
enum plain_reason {
	PLAIN_NOT = 0,
	PLAIN_PEER_UNSEEN = 1, /* the other end is on another host, or not enrolled */
	PLAIN_POLICY = 2,
	PLAIN_MULTIPATH = 3,
	PLAIN_AMBIGUOUS = 4, /* two connections had the same numbers */
	PLAIN_FULL = 5,	     /* no room for one more */
	PLAIN_OWNED = 6,     /* another sockmap or protocol has the socket */
	PLAIN_ZEROCOPY = 7,  /* it waits for the notifications that only TCP sends */
	PLAIN_NO_GAIN = 8,   /* connections to this service ended before they gained by it */
	PLAIN_STREAM = 9,    /* it streams, which TCP does better */
	PLAIN_OBSERVED = 10, /* its bypass only watches */
	PLAIN_UNFIT = 11,    /* it is read or written in a way that needs TCP */
	PLAIN_PROGRAM = 12,  /* its program is to be left alone */
	PLAIN_BLOCKS = 13,   /* it is read in blocking mode, or its like were */
	PLAIN_UNPROVEN = 14, /* its program was not seen to do without FIONREAD: see proof.h */
};

/* How a socket is read and written, as far as was seen. */
enum end_trait {
	TRAIT_READS = 1,	  /* by recvmsg */
	TRAIT_SPLICES = 2,	  /* by splice, which cannot see what was bypassed */
	TRAIT_WAITS_FOR_ALL = 4,  /* MSG_WAITALL, or SO_RCVLOWAT over 1 */
	TRAIT_LEFT_ALONE = 8,	  /* by a program that is left alone */
	TRAIT_MAPS = 16,	  /* by TCP_ZEROCOPY_RECEIVE */
	TRAIT_STAMPS = 64,	  /* wants time stamps of what it sends */
	TRAIT_EDGES = 128,	  /* waits by EPOLLET: see waiters.h */
	TRAIT_UNSEEN = 256,	  /* waits in a way that nothing tells to be level-triggered */
	TRAIT_PEEKS = 512,	  /* with MSG_PEEK, and not only at the first message */
	TRAIT_THROWS = 1024,	  /* bytes away, with MSG_TRUNC */
	TRAIT_UNSEEN_PEER = 4096, /* sends to one that was not seen waiting */
	TRAIT_DRAINS = 2048,	  /* reads until there is no more, and waits only then */
	TRAIT_BLOCKS = 8192,	  /* in blocking mode */
	TRAIT_ASKS = 16384,	  /* asks FIONREAD, which this kernel answers wrongly */
};

enum end_role {
	ROLE_OPENER = 1,
	ROLE_ACCEPTER = 2,
};

/* What both ends of a TCP connection know, and nobody else: where each began to count.
 * The first bytes that opener and accepter will send. */
struct handshake {
	uint32_t opener_seq;
	uint32_t accepter_seq;
};

/* The end that opened. Its own address as the accepter sees it too, unless something
 * in between translates sources. IPv4 is v4-mapped; all in network order but the port. */
struct opener {
	uint64_t cookie; /* 0: two connections had these numbers */
	uint32_t address[4];
	uint32_t port;
	uint32_t in_map; /* it can take part in a bypass */
	uint64_t cgroup;
};

enum enlistment {
	ENLISTED_NEVER = 0,
	ENLISTED_NOW = 1,    /* for the connection that it has */
	ENLISTED_BEFORE = 2, /* for one that it had before */
};

/* What is kept with each enrolled socket. Written under the socket's lock. */
struct enrolled {
	uint64_t cookie;
	uint64_t since; /* CLOCK_MONOTONIC, ns */
	struct handshake numbers;
	uint64_t peer;	    /* cookie of the other end, once it is known */
	uint64_t reader;    /* thread that last read from it by TCP */
	uint32_t run_begin; /* bytes of TCP that were there when its reader began on them */
	uint32_t run_end;
	uint64_t streak; /* bytes that it sent by TCP since it last read something */
	uint64_t bypassed_bytes;
	uint64_t bypassed_messages;
	uint64_t passed_bytes;
	uint64_t passed_messages;
	uint32_t role;	   /* enum end_role */
	uint32_t plain;	   /* enum plain_reason, but for the partner: see peers */
	uint32_t pair;	   /* its number, from 1; 0 while the other end is not known */
	uint32_t in_map;   /* it is in the sockmap */
	uint32_t traits;   /* enum end_trait */
	uint32_t proven;   /* so many bytes at once its program was seen to read by recvmsg */
	uint32_t rules;	   /* version of the rules that it was judged by */
	uint32_t enlisted; /* it was in the sockmap once: enum enlistment */
	uint32_t closed;
	uint32_t heard; /* stands for all that it had read when it last sent by TCP */
	uint32_t netns; /* in which it is counted: see namespaces; 0: in none */
	uint32_t turns; /* how often its reader was seen to have read all that was there */
	uint32_t vain;	/* messages in a row that were passed for how their reader waits */
	uint32_t calm;	/* turns since one was larger than all before */
};

/* One direction of a pair: what its sender may put into the other end's bypass queue.
 * Charges are bytes and an overhead for each message. */
struct lane {
	uint64_t taken;	 /* charged since the beginning */
	uint64_t limit;	 /* what may have been charged at most; the reader raises it */
	uint64_t read;	 /* READ_SOME and the reader's copied_seq when it raised the limit */
	uint64_t closed; /* not 0: nothing more may enter */
	uint64_t busy;	 /* thread whose message is charged and not there yet */
	uint64_t bytes;	 /* of messages, since the beginning */
	uint64_t most;	 /* what that may be at most; the reader raises it */
	uint64_t reader; /* where the socket of who granted lies */
	uint64_t drains; /* not 0: it reads until there is no more, however it waits */
	uint64_t sure;	 /* not 0: its reader will be seen waiting whenever a message comes */
	uint64_t lent;	 /* bytes of this lane that count in what all lanes have been granted */
};

struct pair {
	struct lane lane[2]; /* by the role of the sender: opener, accepter */
	uint64_t cookie[2];  /* by role as well */
	uint64_t parted;     /* how many of the two ends have gone */
	uint64_t unfit;	     /* not 0: why its lanes are closed */
	uint64_t taken_out;  /* enum end_role: these left the sockmap at the other end's hand */
};

/* To whom a socket is paired. */
struct peer {
	uint64_t cookie;
	uint32_t pair; /* its number, from 1 */
	uint32_t reserved;
};

/* Where connections are accepted, as an end of that role sees it. */
struct service {
	uint32_t address[4];
	uint32_t port;
	uint32_t role; /* enum end_role */
};

/* How connections to a service ended, for those that come. */
struct service_record {
	uint64_t last;	 /* loss, CLOCK_MONOTONIC, ns */
	uint64_t losses; /* in a row, each within a second of the one before */
};

/* An executable file. */
struct program {
	uint64_t inode;
	uint64_t device;
};

/* Who runs it, as what: an interpreter is many programs. */
struct runner {
	struct program file;
	uint64_t cgroup;
	char comm[16]; /* of the process */
};

/* By what an executable is known to read until there is no more. */
enum drains {
	DRAINS_NOT = 0,
	DRAINS_BY_OPTION = 1,
	DRAINS_GO = 2, /* see executable.h */
	DRAINS_ENVOY = 3,
};

/* The kernel's functions that wake those who wait at a socket; 0: not known. */
struct wakers {
	uint64_t epoll;
	uint64_t poll;	/* and select */
	uint64_t sleep; /* in recv */
};

/* Who is left alone: what is called so, of any inode; or the executable with this one. */
struct program_name {
	char name[64];	/* of the process, or of the file; ends with a zero */
	uint64_t inode; /* 0: any */
};

/* How that was asked for. */
struct asked_for {
	char path[256];
};

struct local_port {
	uint32_t netns; /* inode of the network namespace */
	uint32_t port;
};

/* What is known of who accepts at a port. */
struct acceptor {
	uint64_t listener; /* the kernel's address of the socket; 0: it is older than this bypass */
	uint32_t plain;	   /* enum plain_reason: why what it accepts stays plain */
	uint32_t waits_not; /* what it accepted was seen in non-blocking mode */
	uint32_t proofs;    /* that FIONREAD is not asked */
	uint32_t asks;	    /* it is */
};

/* How it reads, as far as was seen. */
struct program_record {
	uint32_t traits; /* enum end_trait */
	uint32_t proven; /* bytes that were there at once, and were all read by recvmsg */
	uint32_t turns;	 /* how often that was so */
	uint32_t blocks; /* enum end_role: as which it had sockets in blocking mode */
	uint32_t proofs; /* that it does not ask FIONREAD; none of one that was seen to */
	uint32_t reserved;
	uint64_t last; /* when it was last seen so that traits or blocks say so; ns */
};

/* Matches a socket of which either end has the address and either the port. */
struct rule {
	uint32_t deny;
	uint32_t first_port;
	uint32_t last_port;
	uint32_t only_ipv6; /* v4-mapped addresses are not meant, though they lie in its network */
	uint32_t prefix[4]; /* IPv4 is v4-mapped; network order */
	uint32_t mask[4];
};

struct settings {
	uint64_t since; /* CLOCK_MONOTONIC, ns */
	uint64_t cgroup;
	uint32_t rules;	 /* how many */
	uint32_t allows; /* how many of them allow; if any, one must match */
	struct rule rule[32];
};

enum bypass_mode {
	MODE_OBSERVE = 0,
	MODE_BYPASS = 1,
	MODE_DRAIN = 2, /* nothing is enrolled, nothing bypassed */
};

/* What shows that a program does without FIONREAD: see proof.h. */
enum proof {
	PROOF_NONE = 0, /* none is needed */
	PROOF_EAGAIN = 1,
	PROOF_SHORT = 2, /* or short reads of who is level-triggered */
};

/* So many of these are enough. */
enum { PROOFS = 8 };

/* What every message looks at. */
struct knobs {
	uint32_t which;	  /* of the two settings is in force */
	uint32_t mode;	  /* enum bypass_mode */
	uint32_t version; /* of the rules */
	uint32_t budget;  /* what may be charged for one bypass queue */
	uint64_t credit;  /* bytes that all lanes together may be granted; 0: see grant.h */
	uint32_t same_cgroup;
	uint32_t blocking_readers; /* they are enrolled as well */
	uint32_t proof;		   /* enum proof */
	uint32_t evidence;	   /* seconds that a program is held to what it was seen to do */
};

/* All sockets of a bypass since it was attached. */
struct bypass_totals {
	uint64_t enrolled;
	uint64_t paired; /* connections: two sockets each */
	uint64_t policy;
	uint64_t multipath;
	uint64_t ambiguous;
	uint64_t full;
	uint64_t owned;
	uint64_t zerocopy;
	uint64_t unproven; /* whose program was not seen to do without FIONREAD */
	uint64_t blocking; /* sockets that are read in blocking mode, or whose like are */
	uint64_t no_gain;
	uint64_t programs;	  /* of programs that are to be left alone */
	uint64_t streams;	  /* sockets that were taken out because they stream */
	uint64_t refused_options; /* setsockopt that an enrolled socket cannot have */
	uint64_t closed;
	uint64_t paired_bytes;	 /* that were sent by paired sockets which have closed */
	uint64_t bypassed_bytes; /* these four by sockets that have closed */
	uint64_t bypassed_messages;
	uint64_t passed_bytes;
	uint64_t passed_messages;
};

/* Where the packet that look_up_socket() is run on holds a cookie, and then the record: behind
 * what the kernel takes for the header of Ethernet. */
enum { LOOKED_UP_AT = 16 };

/* One enrolled socket, as the programs that list write it. Addresses are in network order. */
struct connection {
	uint64_t cookie;
	uint64_t peer;	/* cookie of the other end; 0: none */
	uint64_t since; /* CLOCK_MONOTONIC, ns */
	uint64_t cgroup;
	uint64_t inode;	     /* of the file; 0: not open in any process */
	uint64_t bytes_sent; /* by TCP */
	uint64_t bytes_received;
	uint64_t bypassed_bytes; /* that it sent, as the next three */
	uint64_t bypassed_messages;
	uint64_t passed_bytes;
	uint64_t passed_messages;
	uint64_t unread;   /* charged for what is on its way to it or in its bypass queue */
	uint32_t local[4]; /* IPv4 is v4-mapped */
	uint32_t remote[4];
	uint32_t local_port;
	uint32_t remote_port;
	uint32_t role;	/* enum end_role */
	uint32_t plain; /* enum plain_reason */
	uint32_t netns; /* inode of the network namespace */
	uint32_t in_map;
	uint32_t traits;  /* enum end_trait */
	uint32_t granted; /* the other end has let it bypass */
	uint32_t closed;  /* it may not any more */
	uint32_t state;	  /* of TCP */
};

/* shared: end */

#endif
