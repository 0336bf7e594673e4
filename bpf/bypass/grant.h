/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reader of a lane lets the other end bypass: grant() says how much, and when not.
 * Included by bypass/message.h, bypass/reader.h.
 */
#ifndef SOCKPROXY_GRANT_H
#define SOCKPROXY_GRANT_H

#include "bypass/blocking.h"
#include "bypass/lane.h"
#include "bypass/maps.h"
#include "bypass/pair.h"
#include "bypass/waiters.h"
#include "common/cast.h"
#include "common/kernel_psock.h"
#include "common/kernel_sockets.h"
#include "common/kernel_tasks.h"
#include "common/psock.h"

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define SOCK_RCVBUF_LOCK 2
#define MOST_LEVELS 8
#define MANY_PAGES (1LL << 40)
#define SK_MEMCG_PTRMASK (~7UL) /* the low bits are flags */

/* A reader with one of these traits does not get what the bypass queue holds as TCP would give it.
 */
#define UNFIT_READER                                                                               \
	(TRAIT_SPLICES | TRAIT_WAITS_FOR_ALL | TRAIT_MAPS | TRAIT_LEFT_ALONE | TRAIT_EDGES |       \
	 TRAIT_UNSEEN | TRAIT_PEEKS | TRAIT_THROWS | TRAIT_BLOCKS | TRAIT_ASKS)

/* So many turns (reads of all that was there) a reader has to show by TCP before it grants, and
 * only one if its program was seen to take so many as LONG_RECORD. */
#define TURNS 4
#define LONG_RECORD 64

/* Whether TCP is short of memory: what is put into a bypass queue could then be refused, with an
 * error that no sender expects. */
static __always_inline int under_pressure(struct tcp_sock *tp)
{
	struct sock *sk = (struct sock *)tp;
	unsigned long *flag = sk->__sk_common.skc_prot->memory_pressure, set = 0;

	return bpf_probe_read_kernel(&set, sizeof(set), flag) || set;
}

/*
 * Pages that the reader's memory cgroups still let TCP have. __sk_mem_raise_allocated() refuses
 * what is beyond them in cgroup v1, where TCP has a limit of its own; v2 reclaims other memory
 * first, and is not looked at.
 */
static __always_inline __s64 pages_left(struct sock *sk)
{
	struct mem_cgroup *group;
	struct page_counter *counter;
	__s64 least = MANY_PAGES, left;
	int level;

	if (!bpf_core_field_exists(sk->sk_memcg) ||
	    !bpf_core_field_exists(((struct mem_cgroup *)0)->tcpmem))
		return least;
	group = (void *)((unsigned long)BPF_CORE_READ(sk, sk_memcg) & SK_MEMCG_PTRMASK);
	if (!group)
		return least;
	counter = &group->tcpmem;
	for (level = 0; level < MOST_LEVELS && counter; level++) {
		left = LOAD(counter, max) - LOAD(counter, usage.counter);
		least = left < least ? left : least;
		counter = LOAD(counter, parent);
	}
	return least;
}

/* Whether another sockmap, with a parser or a verdict, takes this socket's bytes. */
static __always_inline int is_parsed(struct tcp_sock *tp)
{
	struct sk_psock *psock = find_psock(tp);

	return !psock || LOAD(psock, saved_data_ready);
}

/* How many references there are to the file: one for each descriptor, for each thread of a process
 * with threads that is in a system call on it, and for each that waits in poll or select. */
static __always_inline __s64 references(struct sock *sk)
{
	struct file *file = file_of(sk);

	if (bpf_core_field_exists(file->f_ref))
		return LOAD(file, f_ref.refcnt.counter) + 1;
	return BPF_CORE_READ((struct file___counted *)file, f_count.counter);
}

/*
 * Whether a thread other than the current one may be in a system call on this socket.
 *
 * tcp_bpf_recvmsg() turns to tcp_recvmsg() when there are bytes of TCP to read, and a thread that
 * blocks there does not see what is bypassed. A thread that reads alone finds those bytes, since
 * nothing is granted while they are unread. Of two threads one may take them before the other gets
 * there, which then blocks. A thread in a system call holds a reference to the file, except the
 * only thread of a process (fdget()).
 */
static __always_inline int is_somebody_inside(struct sock *sk, const struct waiters *waiters)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__s64 ours = 1, all;
	__u64 barrier = 0;

	/* A thread that enters a call from now on finds no bytes of TCP; one that entered before
	 * has its reference, and is counted below. `waiters` was read before this: a poller that
	 * came since is taken for somebody inside, which errs on the safe side. */
	__sync_fetch_and_add(&barrier, 1);
	all = references(sk);
	if (LOAD(task, files, count.counter) > 1)
		ours++; /* this thread, which sends */
	return all > ours && all > ours + waiters->polls;
}

/*
 * How many bytes may wait in the bypass queue, so that the window which TCP has announced still
 * fits beside them: since Linux 6.13 both are charged to the receive buffer (bpf_tcp_ingress()).
 * TCP drops what does not fit, and only the retransmission timer of a sender that has waited for
 * long brings it again; before that it lets the buffer grow, up to tcp_rmem[2]
 * (tcp_clamp_window()), unless the program has set its size. TCP's own skbs take
 * somewhat more than their bytes.
 */
static __always_inline __s64 room_for(struct tcp_sock *tp, __u32 budget)
{
	struct sock *sk = (struct sock *)tp;
	__u32 window = tp->rcv_wup + tp->rcv_wnd - tp->rcv_nxt;
	__s64 buffer = sk->sk_rcvbuf, room;

	if (!(BPF_CORE_READ_BITFIELD(sk, sk_userlocks) & SOCK_RCVBUF_LOCK)) {
		room = BPF_CORE_READ(sk, __sk_common.skc_net.net, ipv4.sysctl_tcp_rmem[2]);
		buffer = room > buffer ? room : buffer;
	}
	room = buffer - window - window / 8;
	return room < budget ? room : budget;
}

/* Bytes that all lanes together may be granted. It may all be sent at once, and beyond tcp_mem[2]
 * TCP refuses memory with an error that no sender expects. So it is a quarter of what is left up to
 * there when TCP comes under pressure, at tcp_mem[1]. */
static __always_inline __s64 most_lent(struct sock *sk, const struct knobs *now)
{
	long *mem = BPF_CORE_READ(sk, __sk_common.skc_prot, sysctl_mem), limits[3];

	if (now->credit)
		return now->credit;
	if (bpf_probe_read_kernel(&limits, sizeof(limits), mem) || limits[2] < limits[1])
		return 0;
	return (__u64)(limits[2] - limits[1]) / 4 * PAGE_BYTES;
}

/* Have `bytes` of this lane count in what all lanes are granted; 0 when that would be too much. */
static __always_inline int lend(struct lane *in, struct sock *sk, __u64 bytes,
				const struct knobs *now)
{
	__s64 more = bytes - in->lent, *sum = all_lent();

	if (!sum)
		return 0;
	if (more > 0 && *sum + more > most_lent(sk, now))
		return 0;
	if (more)
		__sync_fetch_and_add(sum, more);
	in->lent = bytes;
	return 1;
}

/*
 * What was granted last is still good, but for how much may come at once: let as much come again.
 * 0 where all has to be looked at anew.
 *
 * Nothing has come by TCP since all was looked at, so nobody blocks in tcp_recvmsg(). How the
 * reader waits the sender looks at with each message. Whether there is room is looked at anew each
 * time that half of the budget was charged.
 */
static __always_inline int renew(struct enrolled *me, struct lane *in, struct tcp_sock *tp,
				 __u64 read, __u32 budget)
{
	struct sock *sk = (struct sock *)tp;

	if (in->read != read || (__s64)(in->limit - in->taken) <= budget / 2)
		return 0;
	if (in->most - in->bytes >= me->proven)
		return 1;
	if (me->traits & UNFIT_READER || in->closed || in->lent != me->proven ||
	    tp->rcv_nxt != tp->copied_seq || sk->sk_rcvlowat > 1 ||
	    sk->sk_shutdown & RCV_SHUTDOWN || !is_bypass_queue_empty(tp) || under_pressure(tp))
		return 0;
	in->most = in->bytes + me->proven;
	return 1;
}

/*
 * The program of `tp` sends, so it is not reading: let the other end bypass, if all is well.
 *
 * The other end may send no more at once than this program was seen to read by recvmsg when it came
 * by TCP: a program that turns to splice(2) for what is long, or for what comes later, then shows
 * itself before such bytes are bypassed.
 */
static __always_inline void grant(struct enrolled *me, struct lane *in, struct tcp_sock *tp,
				  const struct knobs *now)
{
	__u32 budget = now->budget;
	struct sock *sk = (struct sock *)tp;
	__u64 read = READ_SOME | count_read(me, tp);
	struct waiters waiters;
	__s64 room, left;

	if (renew(me, in, tp, read, budget))
		return;
	if (!(me->traits & TRAIT_READS) || me->traits & UNFIT_READER || me->turns < TURNS ||
	    in->closed)
		return;
	/* Nothing may be put behind the end of the stream: bpf_tcp_ingress() looks at neither
	 * shutdown nor state. */
	if (tp->rcv_nxt != tp->copied_seq || sk->sk_rcvlowat > 1 || !is_bypass_queue_empty(tp) ||
	    sk->sk_shutdown & RCV_SHUTDOWN)
		return;
	read_waiters(&waiters, sk);
	if (waiters.kind > WAITING_LEVEL && !(me->traits & TRAIT_DRAINS)) {
		is_unfit(me, waiters.kind == WAITING_EDGE ? TRAIT_EDGES : TRAIT_UNSEEN);
		return;
	}
	if (is_somebody_inside(sk, &waiters) || is_parsed(tp) || under_pressure(tp))
		return;
	room = room_for(tp, budget);
	/* Take at most half of the pages: other sockets of the cgroup take from the same. */
	left = pages_left(sk);
	if (room <= 0 || left * PAGE_BYTES < 2 * room + PAGE_BYTES)
		return;
	if (left < MANY_PAGES && room > budget / 2)
		room = budget / 2; /* so that renew() has this looked at each time */
	if (!lend(in, sk, me->proven, now))
		return;
	in->reader = (__u64)sk;
	in->drains = (me->traits & TRAIT_DRAINS) != 0;
	in->sure = in->drains || waiters.kind == WAITING_LEVEL || is_blocking(sk);
	in->limit = in->taken + room;
	in->most = in->bytes + me->proven;
	in->read = read;
}

#endif
