"""Gates: bugs that are told by the kernel's version, as to try them out could crash the machine."""

from __future__ import annotations

from sockproxy.doctor.probe import Commit, Kind, probe
from sockproxy.doctor.trial import Trial
from sockproxy.doctor.versions import must_not_be, upstream
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import ENROL, MECHANISMS, SPLICE, VERDICT_ONLY

__all__ = ["PROBES"]


@probe("5.10 or later", Kind.GATE, "use Linux 5.10 or later", needed_by=MECHANISMS)
def release(_: Trial) -> str:
    """The kernel is 5.10 or later.

    Older ones lack helpers that every program needs, and stall for good: a stream at 2047 MiB on
    5.9, more than fifty connections at once on 4.19.
    """
    version = upstream()
    told = ".".join(map(str, version))
    if version < (5, 10, 0):
        raise SockproxyError(f"{told} is older")
    return told


@probe(
    "close with a backlog",
    Kind.GATE,
    "update the kernel; 'proxy' relays until then",
    needed_by=(SPLICE, ENROL, VERDICT_ONLY),
    brought_by=(
        Commit(
            "4b4647add7d3",
            "sock_map: avoid race between sock_map_close and sk_psock_put",
            "6.10, 6.9.6, 6.6.35, 6.1.95, 5.15.162",
        ),
    ),
    mended_by=(
        Commit(
            "8259eb0e06d8",
            "bpf, sockmap: Avoid using sk_socket after free when sending",
            "6.16, 6.15.3, 6.12.34, 6.6.94, 6.1.142, 5.15.186",
        ),
    ),
)
def backlog_close(_: Trial) -> str:
    """Redirected bytes that wait while their socket is closed do not use freed memory.

    CVE-2025-38154: sk_psock_backlog() sends by sk->sk_socket, which close(2) frees meanwhile. A
    proxy that is killed closes like that. It came to the stable releases with 4b4647add7d3, and
    was mended by 8259eb0e06d8 (6.16, 6.15.3, 6.12.34, 6.6.94, 6.1.142, 5.15.186). To try it could
    crash the machine.
    """
    return must_not_be(
        (
            ("5.15.162", "5.15.186"),
            ("6.1.95", "6.1.142"),
            ("6.6.35", "6.6.94"),
            ("6.7", "6.12.34"),  # from 6.9.6 at kernel.org; 6.8 is Ubuntu's, with fixes of its own
            ("6.13", "6.15.3"),
        )
    )


@probe(
    "cork",
    Kind.GATE,
    "update the kernel",
    avoided="our sk_msg programs use neither bpf_msg_cork_bytes() nor bpf_msg_apply_bytes()",
    mended_by=(
        Commit(
            "CVE-2026-68284",
            "bpf, sockmap: Fix cork use-after-free in tcp_bpf_sendmsg()",
            "7.1.6, 6.18.42, 6.12.101, 6.6.148, 6.1.183",
        ),
        Commit(
            "CVE-2026-74589",
            "bpf, sockmap: Fix sk_redir use-after-free in send verdict",
            "7.1.9, 6.18.45, 6.12.104, 6.6.152, 6.1.183",
        ),
    ),
)
def cork(_: Trial) -> str:
    """An sk_msg program that corks, or applies a verdict to some bytes, does not use freed memory.

    CVE-2026-68284 and CVE-2026-74589: tcp_bpf_sendmsg() and tcp_bpf_send_verdict() keep a message
    or a socket over a send that has dropped the lock. Mended in 6.1.183, 6.6.152, 6.12.104,
    6.18.45 and 7.1.9.
    """
    return must_not_be(
        (
            ("5.10", "6.1.183"),
            ("6.2", "6.6.152"),
            ("6.7", "6.12.104"),
            ("6.13", "6.18.45"),
            ("6.19", "7.1.9"),
        )
    )


@probe(
    "linearize",
    Kind.GATE,
    "update the kernel",
    avoided="no skb is passed or redirected to a receive queue: a splice redirects to the"
    " sending side alone",
    mended_by=(
        Commit(
            "5ca2e29f6834",
            "bpf, sockmap: Fix panic when calling skb_linearize",
            "6.16, 6.15.3, 6.12.34, 6.6.94, 6.1.142",
        ),
    ),
)
def linearize(_: Trial) -> str:
    """A long message of the stream parser that goes to a receive queue does not crash the kernel.

    CVE-2025-38165: skb_linearize() hits a BUG for messages of over some 100 KB that a verdict
    passes or redirects with BPF_F_INGRESS. Mended by 5ca2e29f6834 (6.16, 6.15.3, 6.12.34, 6.6.94,
    6.1.142).
    """
    return must_not_be(
        (
            ("6.1.54", "6.1.142"),
            ("6.5.4", "6.6.94"),
            ("6.7", "6.12.34"),
            ("6.13", "6.15.3"),
        )
    )


@probe(
    "multipath",
    Kind.GATE,
    "update the kernel",
    avoided="a subflow is never enrolled (bpf/common/multipath.h)",
    mended_by=(
        Commit(
            "fbade4bd08ba",
            "mptcp: Disallow MPTCP subflows from sockmap",
            "6.18, 6.17.10, 6.12.60, 6.1.159",
        ),
    ),
)
def multipath(_: Trial) -> str:
    """A subflow of MPTCP in a sockmap does not crash the kernel.

    Before fbade4bd08ba (6.18, 6.17.10, 6.12.60, 6.1.159) sock_ops could enrol one, and its protocol
    functions were then replaced under MPTCP's feet.
    """
    return must_not_be((("5.10", "6.1.159"), ("6.2", "6.12.60"), ("6.13", "6.17.10")))


@probe(
    "TLS",
    Kind.GATE,
    "update the kernel",
    avoided="a socket with an upper layer protocol is not enrolled, and an enrolled one gets none",
    mended_by=(
        Commit(
            "54a3ecaeeeae",
            "bpf: fix ktls panic with sockmap",
            "6.16, 6.15.3, 6.12.34, 6.6.94, 6.1.142, 5.15.186",
        ),
    ),
)
def tls(_: Trial) -> str:
    """kTLS on a socket in a sockmap does not crash the kernel.

    CVE-2025-38166: bpf_exec_tx_verdict() runs an iterator past its end when an sk_msg program
    shortens a record. Mended by 54a3ecaeeeae (6.16, 6.15.3, 6.12.34, 6.6.94, 6.1.142, 5.15.186).
    """
    return must_not_be(
        (
            ("5.10", "5.15.186"),
            ("5.16", "6.1.142"),
            ("6.2", "6.6.94"),
            ("6.7", "6.12.34"),
            ("6.13", "6.15.3"),
        )
    )


PROBES = (release, backlog_close, cork, linearize, multipath, tls)
