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

/* The kernel's way to wake who blocks in recv, send or splice. */
extern const void woken_wake_function __ksym;

/* Such a reader does not get what the bypass queue holds as TCP would give it. */
#define UNFIT_READER (TRAIT_SPLICES | TRAIT_WAITS_FOR_ALL | TRAIT_SHARED | TRAIT_MAPS)
#define UNFIT_SENDER (TRAIT_URGENT | TRAIT_STAMPS)

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

/* Another sockmap with a parser or a verdict takes this socket's bytes. */
static __always_inline int is_parsed(struct tcp_sock *tp)
{
	struct sk_psock *psock = find_psock(tp);

	return !psock || BPF_CORE_READ(psock, saved_data_ready);
}

/*
 * tcp_bpf_recvmsg() goes to tcp_recvmsg() when there are bytes of TCP to read, and who blocks
 * there does not see what is bypassed. A reader that is alone finds those bytes, and
 * nothing is granted while they are unread. Where there are two, one may read them and the
 * other block: so nobody may be waiting in a system call on this socket, nor for its
 * lock. Those who wait by epoll or poll are not inside.
 */
static __always_inline int is_somebody_inside(struct tcp_sock *tp)
{
	struct sock *sk = (struct sock *)tp;
	struct socket_wq *wq = BPF_CORE_READ(sk, sk_wq);
	struct list_head *entry, *head = &wq->wait.head;
	struct wait_queue_entry *waiter;
	wait_queue_func_t func;
	int number;

	if (BPF_CORE_READ(sk, sk_lock.wq.head.next) != &sk->sk_lock.wq.head)
		return 1;
	entry = BPF_CORE_READ(head, next);
	for (number = 0; number < MOST_WAITERS; number++) {
		if (entry == head)
			return 0;
		waiter = (void *)entry - bpf_core_field_offset(struct wait_queue_entry, entry);
		func = BPF_CORE_READ(waiter, func);
		if (func == (wait_queue_func_t)&woken_wake_function)
			return 1;
		entry = BPF_CORE_READ(entry, next);
	}
	return 1;
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

/* The owner of `tp` sends, so it is a moment to let the other end bypass. */
static __always_inline void grant(const struct enrolled *me, struct lane *in, struct tcp_sock *tp,
				  __u32 budget)
{
	struct sock *sk = (struct sock *)tp;
	__u64 read = READ_SOME | tp->copied_seq;
	__s64 room;

	if (in->read == read && (__s64)(in->limit - in->taken) > budget / 2)
		return;
	if (!(me->traits & TRAIT_READS) || me->traits & UNFIT_READER || in->closed)
		return;
	if (tp->rcv_nxt != tp->copied_seq || sk->sk_rcvlowat > 1 || !is_bypass_queue_empty(tp) ||
	    is_somebody_inside(tp) || is_parsed(tp) || under_pressure(tp))
		return;
	room = room_for(tp, budget);
	if (room <= 0)
		return;
	in->limit = in->taken + room;
	in->read = read;
}

/* Charge a message, if it may be bypassed. */
static __always_inline int charge(const struct enrolled *me, struct lane *out, struct tcp_sock *tp,
				  __u32 size)
{
	__u64 price = (__u64)size + MESSAGE_OVERHEAD, thread = bpf_get_current_pid_tgid();
	struct sock *sk = (struct sock *)tp;

	if (out->read != (READ_SOME | tp->write_seq) || out->taken + price > out->limit)
		return 0;
	if (me->traits & UNFIT_SENDER || sk->sk_shutdown & SEND_SHUTDOWN ||
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
	return 1;
}

static __always_inline void give_back(struct lane *out, __u32 size)
{
	out->taken -= (__u64)size + MESSAGE_OVERHEAD;
	out->busy = 0;
}

/* What this thread was putting into the lane is there. */
static __always_inline void arrive(struct lane *in)
{
	if (in->busy == bpf_get_current_pid_tgid())
		in->busy = 0;
}

#endif
