/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of a bypass keep of sockets, pairs, services and programs. User space sets the
 * sizes of these maps and looks into none of them: what it reads is in abi/bypass.h.
 * Included by bypass/bypass.bpf.c, bypass/found_blocking.h, bypass/lane.h, bypass/maps.h.
 */
#ifndef SOCKPROXY_STATE_H
#define SOCKPROXY_STATE_H

#include "abi/bypass.h"

/* What both ends of a TCP connection know, and nobody else: where each began to count. */
struct handshake {
	uint32_t opener_seq;   /* number of the first byte that the opener will send */
	uint32_t accepter_seq; /* of the first that the accepter will send */
};

/* What an end that has opened a connection can do. */
enum opener_kind {
	OPENER_PLAIN = 0,
	OPENER_IN_MAP = 1, /* it is in the sockmap */
	OPENER_MIDDLE = 2, /* it is a proxy's: see middle.h */
};

/* An end that has opened a connection, for the end that accepts it to find. */
struct opener {
	uint64_t cookie;     /* 0: two connections had these numbers */
	uint32_t address[4]; /* its own; IPv4 is v4-mapped; network order */
	uint32_t port;	     /* its own; host order */
	uint32_t kind;	     /* enum opener_kind */
	uint64_t cgroup;
};

/* One that is paced, and waits to learn whether its accepter is on this host: see pacing.h. */
struct paced_opener {
	struct opener opener;
	uint64_t met; /* its cookie, once its accepter has found it */
};

/* Whether a socket was ever in the sockmap. It enters once in its life: see enter_map(). */
enum enlistment {
	ENLISTED_NEVER = 0,
	ENLISTED_NOW = 1,    /* it entered with the connection that it has now */
	ENLISTED_BEFORE = 2, /* it entered with an earlier connection, and may not again */
};

/* The congestion control of a socket that was established with one that paces: see pacing.h. */
enum pacing {
	PACING_AS_IS = 0,  /* it does not pace, or was chosen, or stays */
	PACING_ASKS = 1,   /* it stays until the other end is known to be on this host, */
	PACING_LOCAL = 2,  /* and until this one is known to stream */
	PACING_SPARED = 3, /* another took its place */
};

/*
 * What is kept with each enrolled socket. Written under the socket's lock, with two exceptions:
 * see_asking() adds to `traits` without it, so that all change them atomically, and see_result()
 * writes `heard` and `turns` of sockets that stay plain, in which nobody else writes these.
 */
struct enrolled {
	uint64_t cookie;
	uint64_t since; /* when it was established: CLOCK_MONOTONIC, ns */
	struct handshake numbers;
	uint64_t reader;    /* thread that last read from it by TCP */
	uint32_t run_begin; /* number of the first byte of TCP that its reader began on, */
	uint32_t run_end;   /* and behind the last that had come by then */
	uint64_t streak;    /* bytes that it sent by TCP since it last read something */
	struct traffic sent;
	uint32_t role;	   /* enum end_role */
	uint32_t plain;	   /* enum plain_reason; an opener's stays PLAIN_PEER_UNSEEN: see peers */
	uint32_t pair;	   /* number of its pair, from 1; 0 while the other end is not known */
	uint32_t in_map;   /* it is in the sockmap */
	uint32_t traits;   /* enum end_trait */
	uint32_t proven;   /* so many bytes at once its program was seen to read by recvmsg */
	uint32_t rules;	   /* version of the rules that it was judged by */
	uint32_t enlisted; /* enum enlistment */
	uint32_t closed;   /* its connection has ended */
	uint32_t heard;	   /* copied_seq plus what was charged to it, when it last sent by TCP */
	uint32_t netns;	   /* inode of the network namespace that it is counted in; 0: in none */
	uint32_t turns;	   /* how often its reader was seen to have read all that was there */
	__s32 vain;	   /* messages that were passed for how their reader waits, less those that
			      others have made up for: see is_seen_waiting() */
	uint32_t calm;	   /* turns since one was larger than all before */
	uint32_t middle;   /* it is a proxy's: see middle.h */
	uint32_t pacing;   /* enum pacing */
	uint32_t observed; /* not 0: what could be gained is found out, see observe.h */
	uint32_t had_come; /* rcv_nxt when TCP last measured a round trip */
	uint32_t rounds;   /* how often it was another than before */
	uint32_t reserved;
	uint32_t fell_back; /* TCP carried a message behind one that was bypassed */
	char paced_by[16];  /* name of the congestion control that it was established with */
};

/* One direction of a pair: what its sender may put into the other end's bypass queue. A message is
 * charged with its bytes and an overhead. lane.h has the rules. */
struct lane {
	uint64_t taken;	 /* charged since the pair was made */
	uint64_t limit;	 /* the most that `taken` may become; the reader raises it */
	uint64_t read;	 /* READ_SOME and how much it had read by TCP when it raised the limit */
	uint64_t closed; /* not 0: nothing more may enter */
	uint64_t busy;	 /* thread whose message is charged and not in the queue yet */
	uint64_t bytes;	 /* of messages since the pair was made */
	uint64_t most;	 /* the most that `bytes` may become; the reader raises it */
	uint64_t reader; /* the kernel's address of the socket whose owner granted */
	uint64_t drains; /* not 0: the reader reads until EAGAIN, however it waits */
	uint64_t sure;	 /* not 0: the reader will be seen waiting whenever a message comes */
	uint64_t lent;	 /* bytes of this lane that count in what all lanes have been granted */
};

/* What the two ends of a connection share; or, as a joint (joint.h), the two ends of a chain of
 * connections that proxies make. */
struct pair {
	struct lane lane[2]; /* by the role of the sender: opener, accepter */
	uint64_t cookie[2];  /* of the sockets, by role as well */
	uint64_t parted;     /* how many of the two ends have gone */
	uint64_t why;	     /* enum plain_reason: why the lanes were closed before its end */
	uint64_t taken_out;  /* bits of enum end_role: ends that the other end took out */
	uint64_t middle;     /* bits of enum end_role: ends that are a proxy's */
	uint64_t across[2];  /* of an end that is a proxy's: cookie of the socket that the proxy
				joined to it; 0 if none so far */
	uint64_t unread;  /* bits of enum end_role: ends that have closed with a queue not empty */
	uint64_t holders; /* of a joint: pairs that have its number; else 0 */
	uint64_t joint;	  /* the lower half: number of the joint of which it is a part; 0: none.
			     The upper: how often this record was given back */
};

/* The other end of a socket. */
struct peer {
	uint64_t cookie;
	uint32_t pair; /* number of their pair, from 1 */
	uint32_t reserved;
};

/* Where connections are accepted, as an end of that role sees it. */
struct service {
	uint32_t address[4];
	uint32_t port;
	uint32_t role; /* enum end_role, ROLE_PLAIN_OPENER or ROLE_ANY_OPENER */
};

/* How the last connections to a service ended. */
struct service_record {
	uint64_t last;	 /* when one ended without gain: CLOCK_MONOTONIC, ns */
	uint64_t losses; /* connections without gain in a row, each within a second of the last */
	uint64_t opener; /* with ROLE_ANY_OPENER: thread group of one whose connections are left out
			    until a second after `last` */
};

/* A program as it is remembered: an executable alone would make all of Python one program. */
struct runner {
	struct program file;
	uint64_t cgroup;
	char comm[16]; /* name of the process */
};

/* How a program reads, as far as was seen. */
struct program_record {
	uint32_t traits; /* enum end_trait */
	uint32_t proven; /* bytes that were there at once, and were all read by recvmsg */
	uint32_t turns;	 /* how often that was so */
	uint32_t blocks; /* bits of enum end_role: in which it had sockets in blocking mode */
	uint32_t proofs; /* how often it read without asking FIONREAD; 0 once it has asked */
	uint32_t reserved;
	uint64_t last;	 /* when it was last seen to have such traits or blocks: ns */
	uint64_t judged; /* whether it is left alone, by which rules and since when: is_left_alone()
			  */
};

#endif
