"""Writes what was tapped as pcapng, each packet with a comment that says how it went."""

from __future__ import annotations

import socket
import sys
from typing import BinaryIO

from dpkt import ip, ip6, pcapng, tcp

from sockproxy.tap.segment import Segment

__all__ = ["Capture"]

# Blocks are of the machine's byte order, as pcapng.Writer wants them.
IS_LITTLE = sys.byteorder == "little"
BLOCK = pcapng.EnhancedPacketBlockLE if IS_LITTLE else pcapng.EnhancedPacketBlock
OPTION = pcapng.PcapngOptionLE if IS_LITTLE else pcapng.PcapngOption
RAW_IP = 101  # LINKTYPE_RAW: a packet begins with its header of IP
TTL = 64
IPV4 = 4  # bytes of an address


class Capture:
    """Writes to `file`. to_wall: seconds since the epoch at CLOCK_MONOTONIC's 0."""

    def __init__(self, file: BinaryIO, to_wall: float) -> None:
        self._file, self._to_wall = file, to_wall
        self._writer = pcapng.Writer(file, snaplen=0, linktype=RAW_IP)  # 0: as long as they are

    def add(self, segment: Segment) -> None:
        """Write one. Raises OSError."""
        options = [
            OPTION(code=pcapng.PCAPNG_OPT_COMMENT, text=segment.comment),
            OPTION(code=pcapng.PCAPNG_OPT_ENDOFOPT),
        ]
        block = BLOCK(pkt_data=bytes(_packet(segment)), opts=options)
        self._writer.writepkt(block, ts=self._to_wall + segment.when)

    def flush(self) -> None:
        """Let readers of the file see what was written. Raises OSError."""
        self._file.flush()


def _packet(segment: Segment) -> ip.IP | ip6.IP6:
    """With its headers, and checksums that are right."""
    inner = tcp.TCP(
        sport=segment.source[1],
        dport=segment.target[1],
        seq=segment.number,
        ack=segment.acknowledged,
        flags=segment.flags,
        win=segment.window,
        data=segment.data,
    )
    source, target = _packed(segment.source[0]), _packed(segment.target[0])
    if len(source) == len(target) == IPV4:
        found = ip.IP(src=source, dst=target, p=ip.IP_PROTO_TCP, ttl=TTL, data=inner)
        found.len = len(found)
        return found
    return ip6.IP6(
        src=source,
        dst=target,
        nxt=ip.IP_PROTO_TCP,
        hlim=TTL,
        plen=len(inner),
        data=inner,
    )


def _packed(host: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
