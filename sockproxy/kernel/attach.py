"""Attach a bypass: bpf/bypass.bpf.c to a cgroup and to the kernel's functions, all pinned."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sockproxy.errors import SockproxyError
from sockproxy.kernel import pins
from sockproxy.kernel.bypass import MAPS, Settings, note_listener, write_settings
from sockproxy.kernel.layout import check_sizes
from sockproxy.kernel.objects import read_object
from sockproxy.libbpf import BpfObject, Link, ffi, load_library, pin

__all__ = ["CONNECTIONS", "create"]

CONNECTIONS = 65536  # pairs of sockets at once that can be bypassed
OBJECT = "bypass.bpf.o"
READ = "bypass_read"
# What looks at messages, and what tells that one has arrived; the first that the kernel takes.
VARIANTS = (
    ("bypass_message", "bypass_arrival"),
    ("bypass_message", "bypass_redirected"),
    ("bypass_message_blind", "bypass_arrival"),
    ("bypass_message_blind", "bypass_redirected"),
)


def create(
    name: str,
    place: Path,
    cgroup_fd: int,
    settings: Settings,
    connections: int = CONNECTIONS,
    listeners: Iterable[tuple[int, int]] = (),
) -> None:
    """Load, attach and pin, inside `pins.locked()`; undone in reverse when a step fails.

    listeners: (network namespace, port) where programs that are left alone accept.

    Raises KernelError and its kin.
    """
    check_sizes()
    bpf, (message, arrival) = _load(connections)
    aside = place / f"{pins.ASIDE}{name}"
    try:
        _number_pairs(bpf, connections)
        maps = {each: bpf.map(each) for each in MAPS}
        write_settings(maps, settings, which=1, version=1)
        for netns, port in listeners:
            note_listener(maps, netns, port)
        kind = load_library().BPF_SK_MSG_VERDICT
        bpf.program(message).attach_to_map(bpf.map("sockets"), kind)
        aside.mkdir(mode=0o700)
        for each, opened in maps.items():
            pin(opened.fd, str(aside / each))
        for each in (READ, arrival):
            _pin_link(bpf.program(each).attach(), aside / each)
        listing = bpf.program("list_connections").attach_iterator(bpf.map("ends"))
        _pin_link(listing, aside / "connections")
        options = bpf.program("bypass_setsockopt").attach_to_cgroup(cgroup_fd)
        _pin_link(options, aside / "options")
        # Last, as now sockets enter.
        _pin_link(bpf.program("bypass_sock_ops").attach_to_cgroup(cgroup_fd), aside / "link")
        aside.rename(place / name)
    except BaseException:
        pins.remove(aside)
        raise
    finally:
        bpf.close()


def _load(connections: int) -> tuple[BpfObject, tuple[str, str]]:
    """The loaded object, and which of VARIANTS is in it."""
    failure: SockproxyError | None = None
    for variant in VARIANTS:
        bpf = BpfObject(OBJECT, read_object(OBJECT))
        for each, entries in (("peers", 2), ("sockets", 2), ("pairs", 1), ("free_pairs", 1)):
            bpf.set_max_entries(each, entries * connections)
        for other in {name for each in VARIANTS for name in each} - set(variant):
            bpf.skip_program(other)
        try:
            bpf.load()
        except SockproxyError as error:
            failure = failure or error  # of the first, which is what kernels of today take
        else:
            return bpf, variant
    assert failure is not None
    raise failure


def _number_pairs(bpf: BpfObject, connections: int) -> None:
    free, number = bpf.map("free_pairs"), ffi.new("uint32_t *")
    for number[0] in range(1, connections + 1):
        free.push(number)


def _pin_link(link: Link, path: Path) -> None:
    """Leave the attachment to its pin; there is none if that fails."""
    try:
        link.pin(str(path))
    finally:
        link.close()
