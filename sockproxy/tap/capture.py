"""Writes what was tapped as pcapng, with headers of IP and TCP that were never sent.

A packet's sequence number is the count of what its socket had sent before, from 1 on, and it
acknowledges all that was seen of the other end: so Wireshark follows the stream, and finds what is
missing. Each has a comment that says how it went.
"""

from __future__ import annotations

import socket
import sys
from collections import OrderedDict
from typing import BinaryIO

from dpkt import ip, ip6, pcapng, tcp

from sockproxy.bpf.tap import Piece

__all__ = ["Capture"]

# Blocks are of the machine's byte order, as pcapng.Writer wants them.
IS_LITTLE = sys.byteorder == "little"
BLOCK = pcapng.EnhancedPacketBlockLE if IS_LITTLE else pcapng.EnhancedPacketBlock
OPTION = pcapng.PcapngOptionLE if IS_LITTLE else pcapng.PcapngOption
RAW_IP = 101  # LINKTYPE_RAW: a packet begins with its header of IP
MOST_ENDS = 65536  # sockets of which it is known how much they sent
COMMENTS = {False: "past TCP", True: "by TCP"}
TTL = 64
FIRST = 1  # the number of the first byte, as if a SYN had come before
IPV4 = 4  # bytes of an address

Ends = tuple[tuple[str, int], tuple[str, int]]


class Capture:
    """Writes to `file`. to_wall: seconds since the epoch at CLOCK_MONOTONIC's 0."""

    def __init__(self, file: BinaryIO, to_wall: float) -> None:
        self._file, self._to_wall = file, to_wall
        self._writer = pcapng.Writer(file, snaplen=0, linktype=RAW_IP)  # 0: as long as they are
        self._sent: OrderedDict[Ends, int] = OrderedDict()

    def add(self, piece: Piece) -> None:
        """Write a piece. Raises OSError."""
        options = [
            OPTION(code=pcapng.PCAPNG_OPT_COMMENT, text=COMMENTS[piece.by_tcp]),
            OPTION(code=pcapng.PCAPNG_OPT_ENDOFOPT),
        ]
        block = BLOCK(pkt_data=bytes(self._packet(piece)), opts=options)
        self._writer.writepkt(block, ts=self._to_wall + piece.when)

    def flush(self) -> None:
        """Let readers of the file see what was written. Raises OSError."""
        self._file.flush()

    def _packet(self, piece: Piece) -> ip.IP | ip6.IP6:
        ends = piece.local, piece.remote
        self._sent[ends] = max(self._sent.get(ends, 0), piece.at + len(piece.data))
        self._sent.move_to_end(ends)
        if len(self._sent) > MOST_ENDS:
            self._sent.popitem(last=False)
        segment = tcp.TCP(
            sport=piece.local[1],
            dport=piece.remote[1],
            seq=_number(piece.at),
            ack=_number(self._sent.get((piece.remote, piece.local), 0)),
            flags=tcp.TH_ACK | tcp.TH_PUSH,
            data=piece.data,
        )
        source, target = _packed(piece.local[0]), _packed(piece.remote[0])
        if len(source) == len(target) == IPV4:
            found = ip.IP(src=source, dst=target, p=ip.IP_PROTO_TCP, ttl=TTL, data=segment)
            found.len = len(found)
            return found
        return ip6.IP6(
            src=source,
            dst=target,
            nxt=ip.IP_PROTO_TCP,
            hlim=TTL,
            plen=len(segment),
            data=segment,
        )


def _number(sent: int) -> int:
    """The sequence number behind so many bytes."""
    return (FIRST + sent) & 0xFFFFFFFF


def _packed(host: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
