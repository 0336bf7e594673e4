"""A remote host made by hand: TCP segments on a veth, with numbers of one's own choice."""

from __future__ import annotations

import socket
import struct
import time

from tests.support.scale import patience

ETH_P_IP = 0x0800
SYN, ACK = 0x02, 0x10


def checksum(data):
    """The Internet checksum."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Wire:
    """What a host at `address` says and hears through `interface`.

    macs: our Ethernet address and that of the other side.
    """

    def __init__(self, sock, address, other, macs):
        self._sock = sock
        self._address, self._other = socket.inet_aton(address), socket.inet_aton(other)
        self._header = macs[1] + macs[0] + struct.pack("!H", ETH_P_IP)

    def send(self, ports, seq, ack, flags):
        """One segment without data. ports: ours and theirs."""
        tcp = struct.pack("!HHIIBBHHH", *ports, seq, ack, 5 << 4, flags, 65535, 0, 0)
        pseudo = self._address + self._other + struct.pack("!BBH", 0, 6, len(tcp))
        tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0)
        ip += self._address + self._other
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        self._sock.send(self._header + ip + tcp)

    def hear(self, port, flags, seconds=5.0):
        """The next segment to our `port` with these flags: (their port, seq, ack)."""
        deadline = time.monotonic() + patience(seconds)
        while time.monotonic() < deadline:
            frame = self._sock.recv(2048)
            if frame[12:14] != b"\x08\x00" or frame[23] != 6:
                continue
            at = 14 + (frame[14] & 15) * 4
            theirs, ours, seq, ack = struct.unpack_from("!HHII", frame, at)
            if ours == port and frame[at + 13] & 0x3F == flags:
                return theirs, seq, ack
        raise AssertionError("nothing was heard")
