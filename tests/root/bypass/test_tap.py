"""`sockproxy tap`: the very bytes of both directions, as tshark reads them."""

from __future__ import annotations

import time

import dpkt
import pytest

from sockproxy.bpf.tap import Tap
from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.options import BypassOptions
from sockproxy.errors import SockproxyError
from tests.support.bypass import NAME, converse, sockproxy, told_of
from tests.support.capture import followed, talk, tshark
from tests.support.commands import begun
from tests.support.scale import patience, scaled
from tests.support.sockets import tcp_pair
from tests.support.tap import streams, tapping

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass"), pytest.mark.timeout(180)]

(SLOT,) = Tap.AMONG
SIZES = (1, 100, 176, 177, 4000, 4001, 8192, 20_000, 65_536, 300_000)
SIZE = 32 << 20


def sent_by(one, other, sizes=SIZES):
    """What each has sent, by its address, in messages of these sizes, up and down."""
    sent = talk(one, other, [*sizes, *sizes[::-1]])
    return {sock.getsockname(): data for sock, data in zip((one, other), sent, strict=True)}


def test_all_bytes_of_both_directions(bypassed):
    """Past TCP and by it, of all sizes."""
    with tapping() as made:
        one, other = tcp_pair()
        with one, other:
            sent = sent_by(one, other)
            counts = told_of(one)
        pieces = list(made.take())
    assert made.lost == 0
    assert streams(pieces) == sent
    assert counts["bypassed_messages"] > 0
    assert {each.by_tcp for each in pieces} == {False, True}
    opener = [each for each in pieces if each.local == next(iter(sent))]
    assert sum(len(each.data) for each in opener if not each.by_tcp) == counts["bypassed_bytes"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.tools("tshark")
def test_tshark_follows_the_stream(bypassed, tmp_path, host):
    path = tmp_path / "it.pcapng"
    with command("-w", str(path)) as process:
        one, other = tcp_pair(host)
        with one, other:
            sent = sent_by(one, other, sizes=(1, 100, 5000))
        time.sleep(0.2)
        process.terminate()
        _, err = process.communicate(timeout=patience(20))
    assert process.returncode == 0, err
    assert path.stat().st_mode & 0o777 == 0o600
    assert followed(path) == list(sent.values())
    faults = tshark(path, "-Y", "tcp.analysis.flags || _ws.malformed || ip.checksum.status == 0")
    assert faults == ""
    comments = set(tshark(path, "-T", "fields", "-e", "frame.comment").split("\n"))
    assert {"past TCP", "by TCP"} <= comments


def test_only_what_a_rule_matches(bypassed):
    one, other = tcp_pair()
    third, fourth = tcp_pair()
    ends = {one.getsockname(), other.getsockname()}
    with one, other, third, fourth, tapping(str(other.getsockname()[1])) as made:
        converse(one, other)
        converse(third, fourth)
        found = streams(made.take())
    assert found.keys() == ends


def test_memory_is_bounded_and_what_is_lost_counted(bypassed):
    with tapping(size=64 << 10) as made:
        one, other = tcp_pair()
        with one, other:
            for _ in range(scaled(200, 50)):
                converse(one, other, times=1, size=1000)
            first = list(made.take())
            lost = made.lost
            converse(one, other, times=2, size=1000)
            again = list(made.take())
    messages = 2 * scaled(200, 50)
    assert 0 < len(first) < messages
    assert len(first) + lost == messages
    assert made.lost == lost or len(again) == 4


def test_all_that_found_room_is_there_at_the_end(bypassed):
    """Small pieces, of which there is room for more than for whole ones."""
    with tapping(size=1 << 20) as made:
        one, other = tcp_pair()
        with one, other:
            converse(one, other, times=1000, size=1)
        assert len(list(made.take(everything=True))) == 2000
    assert made.lost == 0


def test_one_at_a_time(bypassed):
    with tapping() as made:
        with pytest.raises(SockproxyError, match="somebody does already"), tapping():
            pass
        view = made._view
        made.close()
        with tapping() as other:
            other._all.until[SLOT] = time.monotonic_ns()
            with pytest.raises(SockproxyError, match="nothing was read"):
                list(other.take())
        with tapping():
            pass
        assert view[0].until[SLOT] == 0


def command(*arguments):
    """`sockproxy tap`, which writes when this begins; its process."""
    return begun("writing what", "tap", NAME, *arguments)


def test_bounds_of_the_command(bypassed, tmp_path):
    path = tmp_path / "it.pcapng"
    with command("-w", str(path), "--size", "10000") as process:
        one, other = tcp_pair()
        with one, other:
            converse(one, other, times=10, size=1000)
            _, err = process.communicate(timeout=patience(20))
    assert process.returncode == 0, err
    with path.open("rb") as file:
        assert len(list(dpkt.pcapng.Reader(file))) == 10
    begun = time.monotonic()
    with command("-w", "-", "--for", "1s") as process:
        out, _ = process.communicate(timeout=patience(20))
    assert time.monotonic() - begun >= 1
    assert out[:4] == b"\n\r\r\n"  # an empty capture


def test_it_ends_with_the_bypass(group, tmp_path):
    attach(NAME, group.path, BypassOptions(force=True))
    with command("-w", str(tmp_path / "it.pcapng")) as process:
        assert detach(NAME, 10).drained
        process.communicate(timeout=patience(20))
    assert process.returncode == 0


def test_what_cannot_be_done(bypassed, tmp_path):
    said = sockproxy("tap", "nobody", "-w", tmp_path / "x", code=1)
    assert "nothing named nobody is running" in said
    said = sockproxy("tap", NAME, "-w", tmp_path / "none" / "x", code=2)
    assert "No such file or directory" in said
    assert "Missing option '-w'" in sockproxy("tap", NAME, code=2)
    assert sockproxy("tap", NAME, "-w", "-", "--filter", "70000", code=2)
