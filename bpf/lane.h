/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For BPF programs only: one direction of a pair, and who may put messages into it.
 *
 * The reader grants. When it sends, and has read all that ever came to it, it writes
 * down how far it has read what came by TCP, and how much may be charged from now on.
 * The sender bypasses only when that is all it ever sent by TCP, which nobody but
 * itself can change: so what was bypassed is read before what is sent by TCP later, and
 * never before what was sent by TCP earlier.
 *
 * tcp_bpf_sendmsg() lets go of the sender's lock before it puts the message into the other
 * end's queue. Meanwhile the lane is busy, and other threads' messages pass.
 */
#ifndef SOCKPROXY_LANE_H
#define SOCKPROXY_LANE_H

#include "bypass_maps.h"
#include "psock.h"

#define READ_SOME (1ULL << 32)
#define MESSAGE_OVERHEAD 1024 /* struct sk_msg, which kmalloc rounds up to this */
#define SEND_SHUTDOWN 2
#define SOCK_RCVBUF_LOCK 2
#define MOST_WAITERS 8
#define MOST_LEVELS 8
#define MANY_PAGES (1LL << 40)
#define PAGE_BYTES 4096
#define SK_MEMCG_PTRMASK (~7UL) /* the low bits are flags */

/* The kernel's way to wake who waits in poll or select. */
extern const void pollwake __ksym;

/* Such a reader does not get what the bypass queue holds as TCP would give it. */
#define UNFIT_READER (TRAIT_SPLICES | TRAIT_WAITS_FOR_ALL | TRAIT_MAPS | TRAIT_LEFT_ALONE)

static __always_inline struct pair *find_pair(__u32 number)
{
	__u32 index = number - 1;

	return number ? bpf_map_lookup_elem(&pairs, &index) : NULL;
}

static __always_inline struct lane *lane_from(struct pair *pair, __u32 role)
{
	return &pair->lane[role == ROLE_ACCEPTER];
}

static __always_inline struct lane *lane_to(struct pair *pair, __u32 role)
{
	return &pair->lane[role != ROLE_ACCEPTER];
}

/* From now on every sender sees it closed or has been charged: the two sides write
 * first and then look at what the other wrote. */
static __always_inline void close_pair(struct pair *pair)
{
	__sync_lock_test_and_set(&pair->lane[0].closed, 1);
	__sync_lock_test_and_set(&pair->lane[1].closed, 1);
}

/* TCP is short of memory: what is put into a bypass queue could be refused, with an
 * error that no sender expects. */
static __always_inline int under_pressure(struct tcp_sock *tp)
{
	struct sock *sk = (struct sock *)tp;
	unsigned long *flag = BPF_CORE_READ(sk, __sk_common.skc_prot, memory_pressure), set = 0;

	return bpf_probe_read_kernel(&set, sizeof(set), flag) || set;
}

/*
 * Pages that the reader's memory cgroups let TCP still have: what is beyond them is refused,
 * by __sk_mem_raise_allocated(). Those of cgroup v1, where TCP has a limit of its own;
 * v2 reclaims other memory first.
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
		left = BPF_CORE_READ(counter, max) - BPF_CORE_READ(counter, usage.counter);
		least = left < least ? left : least;
		counter = BPF_CORE_READ(counter, parent);
	}
	return least;
}

/* Another sockmap with a parser or a verdict takes this socket's bytes. */
static __always_inline int is_parsed(struct tcp_sock *tp)
{
	struct sk_psock *psock = find_psock(tp);

	return !psock || BPF_CORE_READ(psock, saved_data_ready);
}

/* References to the file: one for each descriptor, for each thread of a process with
 * threads that is in a system call on it, and for each that waits in poll or select. */
static __always_inline __s64 references(struct sock *sk)
{
	struct file *file = BPF_CORE_READ(sk, sk_socket, file);

	if (bpf_core_field_exists(file->f_ref))
		return BPF_CORE_READ(file, f_ref.refcnt.counter) + 1;
	return BPF_CORE_READ((struct file___counted *)file, f_count.counter);
}

static __always_inline __s64 pollers(struct sock *sk)
{
	struct socket_wq *wq = BPF_CORE_READ(sk, sk_wq);
	struct list_head *entry, *head = &wq->wait.head;
	struct wait_queue_entry *waiter;
	__s64 found = 0;
	int number;

	entry = BPF_CORE_READ(head, next);
	for (number = 0; number < MOST_WAITERS && entry != head; number++) {
		waiter = (void *)entry - bpf_core_field_offset(struct wait_queue_entry, entry);
		found += BPF_CORE_READ(waiter, func) == (wait_queue_func_t)&pollwake;
		entry = BPF_CORE_READ(entry, next);
	}
	return found;
}

/*
 * tcp_bpf_recvmsg() goes to tcp_recvmsg() when there are bytes of TCP to read, and who blocks
 * there does not see what is bypassed. A reader that is alone finds those bytes, and
 * nothing is granted while they are unread. Where there are two, one may read them and the
 * other be late: so nobody else may be in a system call on this socket. A thread that is
 * holds a reference to the file, but for the only one of its process (fdget()).
 */
static __always_inline int is_somebody_inside(struct sock *sk)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__s64 ours = 1, all = references(sk);

	if (BPF_CORE_READ(task, files, count.counter) > 1)
		ours++; /* this thread, which sends */
	return all > ours && all > ours + pollers(sk);
}

/*
 * What may wait to be read, so that the window which TCP has announced still fits beside
 * it. Since Linux 6.13 both are charged to the receive buffer (bpf_tcp_ingress()). TCP
 * drops what does not fit, and only the retransmission timer of a sender that has waited
 * for long brings it again; before that it lets the buffer grow, up to tcp_rmem[2]
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

/*
 * The owner of `tp` sends, so it is a moment to let the other end bypass.
 *
 * No more at once than its program was seen to read by recvmsg when it came by TCP: a program
 * that turns to splice(2) for what is long, or for what comes later, then shows itself before
 * such bytes are bypassed.
 */
static __always_inline void grant(const struct enrolled *me, struct lane *in, struct tcp_sock *tp,
				  __u32 budget)
{
	struct sock *sk = (struct sock *)tp;
	__u64 read = READ_SOME | tp->copied_seq;
	__s64 room;

	if (in->read == read && in->most - in->bytes >= me->proven &&
	    (__s64)(in->limit - in->taken) > budget / 2)
		return;
	if (!(me->traits & TRAIT_READS) || me->traits & UNFIT_READER || in->closed)
		return;
	if (tp->rcv_nxt != tp->copied_seq || sk->sk_rcvlowat > 1 || !is_bypass_queue_empty(tp) ||
	    is_somebody_inside(sk) || is_parsed(tp) || under_pressure(tp))
		return;
	room = room_for(tp, budget);
	/* Half of it at most: others take from the same. */
	if (room <= 0 || pages_left(sk) * PAGE_BYTES < 2 * room + PAGE_BYTES)
		return;
	in->limit = in->taken + room;
	in->most = in->bytes + me->proven;
	in->read = read;
}

/* Bytes by TCP follow: what was granted before them is void. Without this it would be good
 * again when the sequence numbers have gone round. */
static __always_inline void void_grant(struct lane *out)
{
	__u64 seen = out->read;

	if (seen)
		__sync_val_compare_and_swap(&out->read, seen, 0);
}

/* Charge a message, if it may be bypassed. */
static __always_inline int charge(const struct enrolled *me, struct lane *out, struct tcp_sock *tp,
				  __u32 size)
{
	__u64 price = (__u64)size + MESSAGE_OVERHEAD, thread = bpf_get_current_pid_tgid();
	struct sock *sk = (struct sock *)tp;

	if (out->read != (READ_SOME | tp->write_seq) || out->taken + price > out->limit ||
	    out->bytes + size > out->most)
		return 0;
	if (me->traits & TRAIT_STAMPS || sk->sk_shutdown & SEND_SHUTDOWN ||
	    (sk->__sk_common.skc_state != BPF_TCP_ESTABLISHED &&
	     sk->__sk_common.skc_state != BPF_TCP_CLOSE_WAIT))
		return 0;
	/* Its own message of before is there, as it is here. */
	if (out->busy && out->busy != thread)
		return 0;
	__sync_lock_test_and_set(&out->busy, thread);
	if (out->closed) {
		out->busy = 0;
		return 0;
	}
	out->taken += price;
	out->bytes += size;
	return 1;
}

static __always_inline void give_back(struct lane *out, __u32 size)
{
	out->taken -= (__u64)size + MESSAGE_OVERHEAD;
	out->bytes -= size;
	out->busy = 0;
}

/* What this thread was putting into the lane is there, or has failed. */
static __always_inline void is_through(struct lane *lane)
{
	if (lane->busy == bpf_get_current_pid_tgid())
		lane->busy = 0;
}

#endif
