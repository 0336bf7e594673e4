/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of a bypass and user space both read in maps: settings, counters, and the
 * record of one socket. What the programs alone read is in bypass/state.h.
 * Included by abi/events.h, bypass/state.h, bypass/syscall.h.
 *
 * cffi reads this file as well, and Python's enums are made from it: only enums, plain structs and
 * arrays may stand here, no attributes and no macros. hatch_build.py compares the layouts. The
 * maps are pinned: a bypass that an older sockproxy attached has that one's layout.
 */
#ifndef SOCKPROXY_ABI_BYPASS_H
#define SOCKPROXY_ABI_BYPASS_H

#include "abi/rules.h"
#include "abi/types.h"

/* Why the messages of a socket cannot skip TCP. sockproxy/bypass/view.py has each in words. */
enum plain_reason {
	PLAIN_NOT = 0,
	PLAIN_PEER_UNSEEN = 1, /* the other end is on another host, or not enrolled */
	PLAIN_POLICY = 2,      /* a rule denies the connection */
	PLAIN_MULTIPATH = 3,   /* MPTCP */
	PLAIN_AMBIGUOUS = 4,   /* two connections had the same numbers */
	PLAIN_FULL = 5,	       /* a map has no room for one more socket or pair */
	PLAIN_OWNED = 6,       /* another sockmap or protocol has the socket */
	PLAIN_ZEROCOPY = 7,    /* SO_ZEROCOPY: it waits for notifications that only TCP sends */
	PLAIN_NO_GAIN = 8,     /* connections to this service ended before they gained by it */
	PLAIN_STREAM = 9,      /* it streams, which TCP does better */
	PLAIN_OBSERVED = 10,   /* the bypass was attached with --observe */
	PLAIN_UNFIT = 11,      /* it is read or written in a way that needs TCP: see traits */
	PLAIN_PROGRAM = 12,    /* its program is left alone, by --except or by default */
	PLAIN_BLOCKS = 13,     /* it is read in blocking mode, or others of its kind were */
	PLAIN_UNPROVEN = 14,   /* its program may ask FIONREAD: see bypass/fionread.h */
	PLAIN_PROXY = 15,      /* a proxy in between has to see its bytes */
};

/* How a socket is read and written, as far as was seen. Bits, of which several may be set. */
enum end_trait {
	TRAIT_READS = 1,	  /* it is read by recvmsg */
	TRAIT_SPLICES = 2,	  /* read by splice(2), which cannot see what was bypassed */
	TRAIT_WAITS_FOR_ALL = 4,  /* read with MSG_WAITALL, or has SO_RCVLOWAT over 1 */
	TRAIT_LEFT_ALONE = 8,	  /* read by a program that is left alone */
	TRAIT_MAPS = 16,	  /* read by TCP_ZEROCOPY_RECEIVE */
	TRAIT_STAMPS = 64,	  /* its program wants time stamps of what it sends */
	TRAIT_EDGES = 128,	  /* its reader waits by EPOLLET: see bypass/waiters.h */
	TRAIT_UNSEEN = 256,	  /* its reader may wait by edges: nothing tells that it does not */
	TRAIT_PEEKS = 512,	  /* read with MSG_PEEK, and not only at the first message */
	TRAIT_THROWS = 1024,	  /* read with MSG_TRUNC, which throws bytes away */
	TRAIT_DRAINS = 2048,	  /* its reader reads until EAGAIN, and waits only then */
	TRAIT_UNSEEN_PEER = 4096, /* the reader at the other end was never seen waiting */
	TRAIT_BLOCKS = 8192,	  /* read in blocking mode */
	TRAIT_ASKS = 16384,	  /* its program asks FIONREAD, which this kernel answers wrongly */
};

/* Which end of its connection a socket is. Bits as well, where both may be meant. */
enum end_role {
	ROLE_OPENER = 1,
	ROLE_ACCEPTER = 2,
};

/* Whether a proxy of this host lies between a socket and the end that it talks to. */
enum proxied {
	PROXIED_NOT = 0,
	PROXIED_THROUGH = 1, /* all goes through the proxy */
	PROXIED_PAST = 2,    /* messages may go past it: `peer` is the end behind it */
};

/* An executable file. */
struct program {
	uint64_t inode;
	uint64_t device; /* as the kernel numbers it */
};

/* Why an executable is known to read until EAGAIN before it waits. */
enum drains {
	DRAINS_NOT = 0,	      /* it is not known to */
	DRAINS_BY_OPTION = 1, /* --edge-triggered names it */
	DRAINS_GO = 2,	      /* Go's linker made it: see bypass/executable.h */
	DRAINS_ENVOY = 3,
};

/* Addresses of the kernel's functions that wake those who wait at a socket; 0: not known. */
struct wakers {
	uint64_t epoll;
	uint64_t poll;	/* and select */
	uint64_t sleep; /* in recv */
};

/* Key of a program that is left alone: by name, or by name and inode of its executable. */
struct program_name {
	char name[64];	/* of the process, or of the file; ends with a zero */
	uint64_t inode; /* 0: any */
};

/* The name or path by which the user had a program left alone, to be shown. */
struct asked_for {
	char path[256];
};

/* A port at which connections are accepted. */
struct local_port {
	uint32_t netns; /* inode of the network namespace */
	uint32_t port;
};

/* What is known of the program that accepts at a port. */
struct acceptor {
	uint64_t listener; /* the kernel's address of the socket; 0: it is older than this bypass */
	uint32_t plain;	   /* enum plain_reason: why what it accepts stays plain */
	uint32_t waits_not; /* what it accepted was seen in non-blocking mode */
	uint32_t proofs;    /* how often it was seen to read without asking FIONREAD */
	uint32_t asks;	    /* it was seen asking FIONREAD */
};

/* The settings that are too large to be updated atomically: see maps.h. */
struct settings {
	uint64_t since;	 /* when the bypass was attached: CLOCK_MONOTONIC, ns */
	uint64_t cgroup; /* id of the cgroup that it is attached to */
	struct rules rules;
};

enum bypass_mode {
	MODE_OBSERVE = 0, /* sockets are paired and counted, none enters the sockmap */
	MODE_BYPASS = 1,
	MODE_DRAIN = 2, /* nothing is enrolled, nothing bypassed */
};

/* What shows that a program does without FIONREAD: see bypass/fionread.h. */
enum proof {
	PROOF_NONE = 0,	  /* nothing has to be shown */
	PROOF_EAGAIN = 1, /* it reads until EAGAIN */
	PROOF_SHORT = 2,  /* that, or a short read by one that waits level-triggered */
};

/* So many times a program has to show it. */
enum { PROOFS = 8 };

/* The settings that every message looks at. */
struct knobs {
	uint32_t which;	      /* of the two struct settings is in force */
	uint32_t mode;	      /* enum bypass_mode */
	uint32_t version;     /* of the rules; sockets judged by an older one are judged again */
	uint32_t budget;      /* bytes that may be charged for one bypass queue */
	uint64_t credit;      /* bytes that all lanes together may be granted; 0: see grant.h */
	uint32_t same_cgroup; /* both ends of a pair must belong to one cgroup */
	uint32_t blocking_readers; /* sockets in blocking mode are enrolled as well */
	uint32_t proof;		   /* enum proof */
	uint32_t evidence;	   /* seconds that a program is held to what it was seen to do */
	uint32_t spare_pacing;	   /* of streams within this host: see bypass/pacing.h */
	uint32_t reserved;
};

/* How many sockets have stayed plain, or were taken out of the sockmap, by why. */
struct left_plain {
	uint64_t policy;
	uint64_t multipath;
	uint64_t ambiguous;
	uint64_t full;
	uint64_t owned;
	uint64_t zerocopy;
	uint64_t unproven; /* their program was not seen to do without FIONREAD */
	uint64_t blocking; /* they are read in blocking mode, or others of their kind are */
	uint64_t no_gain;
	uint64_t programs; /* their program is left alone */
	uint64_t streams;  /* taken out because they stream */
};

/* What sockets have sent: by the bypass, and through it by TCP. */
struct traffic {
	uint64_t bypassed_bytes;
	uint64_t bypassed_messages;
	uint64_t passed_bytes;
	uint64_t passed_messages;
};

/* All sockets of a bypass since it was attached. Each field, and each of the structs in it, is one
 * of `sockproxy status --json` by its name. */
struct bypass_totals {
	uint64_t enrolled;
	uint64_t paired; /* connections: two sockets each */
	struct left_plain plain;
	uint64_t spared_pacing;	  /* sockets that another congestion control was given */
	uint64_t refused_options; /* setsockopt(2) of what an enrolled socket cannot have */
	uint64_t closed;
	uint64_t paired_bytes; /* sent by paired sockets that have closed, by TCP or not */
	struct traffic sent;   /* by sockets that have closed */
};

/* In the packet that look_up_socket() is run on: where the cookie stands, and then the record.
 * Before it lies what the kernel takes for the header of Ethernet. */
enum { LOOKED_UP_AT = 16 };

/* One enrolled socket, as the programs that list write it. Addresses are in network order. */
struct connection {
	uint64_t cookie;
	uint64_t peer;	/* cookie of the other end; 0: none */
	uint64_t since; /* when it was established: CLOCK_MONOTONIC, ns */
	uint64_t cgroup;
	uint64_t inode;	     /* of the file; 0: not open in any process */
	uint64_t bytes_sent; /* by TCP */
	uint64_t bytes_received;
	struct traffic sent; /* 0 once it has closed: then it is in the totals */
	uint64_t unread;     /* not 0: something is on its way to it, or in its bypass queue */
	uint32_t local[4];   /* IPv4 is v4-mapped */
	uint32_t remote[4];
	uint32_t local_port;
	uint32_t remote_port;
	uint32_t role;		     /* enum end_role */
	uint32_t plain;		     /* enum plain_reason */
	uint32_t netns;		     /* inode of the network namespace */
	uint32_t in_map;	     /* it is in the sockmap */
	uint32_t traits;	     /* enum end_trait */
	uint32_t granted;	     /* the other end has once let it bypass */
	uint32_t closed;	     /* its lane is: it may not bypass any more */
	uint32_t state;		     /* of TCP, by the kernel's number */
	uint32_t proxied;	     /* enum proxied */
	uint32_t observed;	     /* see enum gain */
	char congestion_control[16]; /* its name */
	char spared[16]; /* name of the one that it began with, which would pace; "": none */
};

/* What a proxy asks of join_past_proxy(). */
enum join_action {
	JOIN_MAKE = 0, /* let messages go past it */
	JOIN_READ = 1, /* tell how much has gone past it */
	JOIN_END = 2,  /* let nothing go past it any more, and never again */
};

/* Why nothing goes past the proxy. */
enum join_refusal {
	REFUSAL_NONE = 0,
	REFUSAL_NO_CLIENT = 1,	 /* the client is not enrolled, or has gone */
	REFUSAL_NO_UPSTREAM = 2, /* nor is the upstream */
	REFUSAL_MISFIT = 3,	 /* the client did not open, or the upstream did not accept */
	REFUSAL_CLOSED = 4,	 /* one of the two has to stay plain, or ends */
	REFUSAL_WAITS = 5,	 /* behind the proxy is another, which has not joined yet */
	REFUSAL_FULL = 6,	 /* the bypass has as many pairs as it may have */
	REFUSAL_DRAINS = 7,	 /* the bypass is being detached, or only observes */
};

/* In the packet of join_past_proxy(), at LOOKED_UP_AT. The ways are those of a proxy: forward is
 * from its client to its upstream. */
struct join {
	uint64_t client; /* cookie of the proxy's own socket to it, as is the next */
	uint64_t upstream;
	uint32_t action; /* enum join_action */
	uint32_t why;	 /* out: enum join_refusal */
	uint32_t busy;	 /* out: a message that may go past it is on its way */
	uint32_t unread; /* out: bits of enum end_role: far ends that have closed, and left unread
			    what went past it */
	uint64_t forward_bytes; /* out: that went past it, as the next three */
	uint64_t forward_messages;
	uint64_t backward_bytes;
	uint64_t backward_messages;
};

#endif
