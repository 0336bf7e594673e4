"""What each program of bpf/splice/splice.bpf.c is there for."""

from __future__ import annotations

from sockproxy.bpf import BpfObject
from sockproxy.bpf.loading import Role

__all__ = ["ENROLMENT", "INSPECTING", "MOVING", "MOVING_BLINDLY", "OBJECT", "prepare"]

OBJECT = "splice.bpf.o"
BPF_SK_SKB_STREAM_PARSER = 4
BPF_SK_SKB_STREAM_VERDICT = 5
BPF_SK_SKB_VERDICT = 38
KINDS = {
    "splice_parser": BPF_SK_SKB_STREAM_PARSER,
    "splice_verdict": BPF_SK_SKB_STREAM_VERDICT,
    "splice_verdict_only": BPF_SK_SKB_VERDICT,
}


def prepare(bpf: BpfObject) -> None:
    """What has to be set before any of them loads."""
    bpf.set_attach_type("splice_verdict_only", BPF_SK_SKB_VERDICT)


def _attach(bpf: BpfObject, program: str) -> None:
    bpf.program(program).attach_to_map(bpf.map("sources"), KINDS[program])


MOVING = Role(
    "parser and verdict",
    (("splice_parser", "splice_verdict"),),
    "the kernel moves no bytes",
    _attach,
)
MOVING_BLINDLY = Role(
    "verdict without a parser",
    (("splice_verdict_only",),),
    "the kernel moves no bytes",
    _attach,
)
INSPECTING = Role(
    "inspecting",
    (("inspect_slot",),),
    "nothing tells whether all that was redirected has been sent",
)
ENROLMENT = Role(
    "enrolment",
    (("enrol_established",),),
    "a socket is enrolled when its pair is made, not when it is established",
)
