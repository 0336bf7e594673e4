"""What each program of bpf/bypass/bypass.bpf.c is there for, and what a bypass needs of them."""

from __future__ import annotations

from collections.abc import Collection

from sockproxy.bpf import BpfObject, Link
from sockproxy.bpf.abi import Mode, Proof
from sockproxy.bpf.loading import Role

__all__ = [
    "ARRIVALS",
    "ASKING",
    "JOIN",
    "LEAVING",
    "LOOK_UP",
    "MIDDLE",
    "NAMESPACE",
    "NEEDED",
    "OBJECT",
    "OPTIONS",
    "PAIRING",
    "PROVING",
    "RESULTS",
    "ROLES",
    "SHORT_CIRCUIT",
    "STORAGE",
    "proof_of",
    "roles_of",
]

OBJECT = "bypass.bpf.o"
# The programs of LISTING, by which the sockets of a bypass are listed.
STORAGE, NAMESPACE, LOOK_UP = "list_storage", "list_namespace", "look_up_socket"
# And of SHORT_CIRCUIT, which a proxy takes from their pins.
MIDDLE, JOIN = "bypass_middle", "join_past_proxy"
BPF_SK_MSG_VERDICT = 7


def _attach_to_kernel(bpf: BpfObject, program: str) -> Link:
    return bpf.program(program).attach()


def _attach_to_map(bpf: BpfObject, program: str) -> None:
    bpf.program(program).attach_to_map(bpf.map("sockets"), BPF_SK_MSG_VERDICT)


def _attach_listing(bpf: BpfObject, program: str) -> Link | None:
    if program == LOOK_UP:
        return None  # it is attached to nothing: Listing runs it by BPF_PROG_TEST_RUN
    return bpf.program(program).attach_iterator(bpf.map("ends") if program == STORAGE else None)


PAIRING = Role(
    "pairing",
    (("bypass_sock_ops",),),
    "nothing tells which two sockets are the ends of a connection",
)
MESSAGES = Role(
    "messages",
    # Some kernels let no sk_msg program read the arguments of the call: the blind one does not see
    # MSG_OOB.
    (("bypass_message",), ("bypass_message_blind",)),
    "no message can skip TCP",
    _attach_to_map,
)
READERS = Role(
    "readers",
    (("bypass_read",),),
    "nothing tells whether a reader sees what was bypassed to it",
    _attach_to_kernel,
)
ARRIVALS = Role(
    "arrivals",
    # The first needs Linux 6.3.
    (("bypass_arrival",), ("bypass_redirected",)),
    "nothing tells when a message has arrived, and so whether a socket can be given back to TCP",
    _attach_to_kernel,
)
OPTIONS = Role(
    "options",
    (("bypass_setsockopt",),),
    "nothing keeps kTLS and SO_ZEROCOPY off sockets that cannot have them",
)
# These two where FIONREAD is wrong: see bpf/bypass/fionread.h.
RESULTS = Role(
    "results",
    (("bypass_result",),),
    "where FIONREAD is wrong, nothing tells who does without it, and all stay plain",
    _attach_to_kernel,
)
ASKING = Role(
    "asking",
    (("bypass_asked", "bypass_asked_in"), ("bypass_asked",)),
    "where FIONREAD is wrong, only who is seen to read until EAGAIN is bypassed",
    _attach_to_kernel,
)
LISTING = Role(
    "listing",
    # An iterator may pass over a socket while others come and go: LOOK_UP finds that one.
    ((STORAGE, LOOK_UP), (STORAGE,), (NAMESPACE, LOOK_UP), (LOOK_UP,), (NAMESPACE,)),
    "connections are not listed, and one that is open when its bypass is detached stays in it"
    " until it ends",
    _attach_listing,
)

LEAVING = Role(
    "leaving",
    (("bypass_leaving",),),
    "no cgroup can leave a bypass that others stay in",
)
SHORT_CIRCUIT = Role(
    "short circuit",
    ((MIDDLE, JOIN),),
    "what goes through a proxy of this host is not short-circuited",
)

PROVING = (RESULTS, ASKING)
ROLES = (PAIRING, MESSAGES, READERS, ARRIVALS, OPTIONS, LISTING, LEAVING, SHORT_CIRCUIT, *PROVING)
NEEDED = {
    Mode.OBSERVE: (PAIRING,),  # no socket enters a sockmap, and no message skips TCP
    Mode.BYPASS: (PAIRING, MESSAGES, READERS, ARRIVALS, OPTIONS),
}


def roles_of(*, fionread_is_wrong: bool) -> tuple[Role, ...]:
    """The roles of a bypass. fionread_is_wrong: for what is in a sockmap, as far as is known."""
    return tuple(each for each in ROLES if fionread_is_wrong or each not in PROVING)


def proof_of(programs: Collection[str]) -> Proof:
    """What these programs let a reader be known by, where FIONREAD is wrong."""
    return Proof.SHORT if set(programs) & set(ASKING.programs) else Proof.EAGAIN
