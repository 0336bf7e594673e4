"""What lies in maps is laid out alike for clang, cffi and Python, or the build fails."""

from __future__ import annotations

import shutil
import socket
from enum import IntEnum, IntFlag
from pathlib import Path

import pytest

import hatch_build
from sockproxy.bpf import _layout, abi, ffi, listing

ROOT = Path(__file__).resolve().parents[3]
ENUMS = {
    "Action": ("direction_action", "ACTION_"),
    "Held": ("hold_reason", "HELD_"),
    "Plain": ("plain_reason", "PLAIN_"),
    "Trait": ("end_trait", "TRAIT_"),
    "Role": ("end_role", "ROLE_"),
    "Proof": ("proof", "PROOF_"),
    "Drains": ("drains", "DRAINS_"),
    "Gain": ("gain", "GAIN_"),
    "Event": ("event_kind", "EVENT_"),
    "Mode": ("bypass_mode", "MODE_"),
    "Proxied": ("proxied", "PROXIED_"),
    "Join": ("join_action", "JOIN_"),
    "Refusal": ("join_refusal", "REFUSAL_"),
    "Way": ("packet_way", "WAY_"),
}


@pytest.mark.parametrize("name", ENUMS)
def test_enum_has_the_constants_of_the_header(name):
    in_c, prefix = ENUMS[name]
    constants = ffi.typeof(f"enum {in_c}").relements
    assert {f"{prefix}{each.name}": each.value for each in getattr(abi, name)} == constants


def test_every_enum_of_the_headers_is_known():
    made = {
        name
        for name, each in vars(_layout).items()
        if isinstance(each, type) and issubclass(each, IntEnum | IntFlag)
    } - {"IntEnum", "IntFlag"}
    assert made == set(ENUMS)


def test_only_what_can_be_set_at_once_is_a_flag():
    assert [name for name in ENUMS if issubclass(getattr(abi, name), IntFlag)] == ["Trait"]


def test_shared_direction_has_the_fields_of_struct_direction():
    fields = [name for name, _ in ffi.typeof("struct direction").fields]
    assert list(abi.SharedDirection.__annotations__) == fields


def test_counters_are_read_in_their_order_those_of_inner_structs_in_place():
    raw = ffi.new("struct bypass_totals *", {"paired": 2, "plain": {"full": 3}, "closed": 4})
    counted = abi.read_counters(raw[0])
    assert tuple(counted) == abi.field_names("bypass_totals")
    assert {name: count for name, count in counted.items() if count} == {
        "paired": 2,
        "full": 3,
        "closed": 4,
    }


def test_totals_keep_the_names_and_the_order_that_the_json_document_has():
    published = [
        "enrolled", "paired", "policy", "multipath", "ambiguous", "full", "owned", "zerocopy",
        "unproven", "blocking", "no_gain", "programs", "streams", "refused_options", "closed",
        "paired_bytes", "bypassed_bytes", "bypassed_messages", "passed_bytes", "passed_messages",
    ]  # fmt: skip
    # More may come in between.
    assert [each for each in abi.field_names("bypass_totals") if each in published] == published


def test_connection_has_fields_of_struct_connection_alone():
    assert set(listing.Connection.__slots__) < set(abi.field_names("connection")) | {
        "local",
        "remote",
    }


def test_connection_is_read_from_the_record_of_the_kernel():
    mapped = [0, 0, socket.htonl(0xFFFF)]
    raw = ffi.new(
        "struct connection *",
        {
            "cookie": 7,
            "since": 1_500_000_000,
            "sent": {"bypassed_bytes": 10, "passed_messages": 2},
            "local": [*mapped, socket.htonl(0x7F000001)],
            "local_port": 80,
            "remote": [0, 0, 0, socket.htonl(1)],
            "remote_port": 81,
            "role": abi.Role.ACCEPTER,
            "plain": abi.Plain.STREAM,
            "traits": abi.Trait.READS | abi.Trait.DRAINS,
            "in_map": 1,
        },
    )
    found = listing.read_connection(raw)
    assert (found.cookie, found.peer, found.since) == (7, None, 1.5)
    assert (found.local, found.remote) == (("127.0.0.1", 80), ("::1", 81))
    assert (found.role, found.plain) == (abi.Role.ACCEPTER, abi.Plain.STREAM)
    assert found.traits == abi.Trait.READS | abi.Trait.DRAINS
    assert (found.in_map, found.granted) == (True, False)
    assert (found.bypassed_bytes, found.passed_bytes, found.passed_messages) == (10, 0, 2)


# -- the build ------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path):
    """What the build reads, to be changed."""
    shutil.copytree(ROOT / "bpf", tmp_path / "bpf")
    (tmp_path / hatch_build.BUILDER).parent.mkdir(parents=True)
    shutil.copyfile(ROOT / hatch_build.BUILDER, tmp_path / hatch_build.BUILDER)
    return tmp_path


def change(checkout, header, old, new):
    path = checkout / hatch_build.ABI / header
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def check(checkout):
    hatch_build.check_layouts(
        checkout, hatch_build.load_builder(checkout, hatch_build.BUILDER, hatch_build.ABI), checkout
    )


@pytest.mark.tools("clang")
def test_layouts_agree(checkout):
    check(checkout)


@pytest.mark.tools("clang")
@pytest.mark.parametrize(
    ("header", "old", "new", "told"),
    [
        # long double has 16 bytes here and 8 in BPF.
        ("splice.h", "\tuint64_t holds;", "\tlong double holds;", "struct direction 1"),
        (
            "bypass.h",
            "\tuint64_t enrolled;",
            "\tlong double enrolled;",
            "cffi has struct bypass_totals.paired at byte 16, clang has not",
        ),
    ],
)
def test_a_layout_that_clang_and_cffi_see_differently_fails_the_build(
    checkout, header, old, new, told
):
    change(checkout, header, old, new)
    with pytest.raises(hatch_build.BuildError) as failure:
        check(checkout)
    assert str(failure.value).startswith("clang and cffi read bpf/abi/ differently:\n")
    assert told in str(failure.value)


@pytest.mark.parametrize(
    ("new", "told"),
    [
        ("#pragma pack(1)\nstruct enrolment {", "splice.h:"),
        ("#define MANY 2\nstruct enrolment {", "no macros here"),
        ("struct enrolment {\n\tuint64_t a __attribute__((packed));", "cannot read bpf/abi/"),
    ],
)
def test_a_header_that_cffi_cannot_read_fails_the_build(checkout, new, told):
    change(checkout, "splice.h", "struct enrolment {", new)
    with pytest.raises(hatch_build.BuildError, match="cannot read bpf/abi/") as failure:
        check(checkout)
    assert told in str(failure.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("ACTION_PASS = 2", "PASSED = 2", "PASSED does not begin with ACTION_"),
        ("\tuint32_t overhead;", "\tuint32_t overhead[1];", "direction: overhead is no integer"),
    ],
)
def test_what_has_no_form_in_python_fails_the_build(checkout, old, new, told):
    change(checkout, "splice.h", old, new)
    with pytest.raises(hatch_build.BuildError, match=told):
        hatch_build.write_python(
            checkout,
            hatch_build.load_builder(checkout, hatch_build.BUILDER, hatch_build.ABI),
            checkout,
        )
