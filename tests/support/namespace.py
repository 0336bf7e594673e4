"""Network namespaces of a test."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

from pyroute2 import NetNS, netns

from tests.support.scale import patience


class Namespace:
    """A network namespace with loopback up, entered by a thread for each call."""

    def __init__(self, name):
        self.name = name
        netns.create(name)
        with NetNS(name) as ns:
            ns.link("set", index=ns.link_lookup(ifname="lo")[0], state="up")

    def run(self, *argv):
        subprocess.run(["ip", "netns", "exec", self.name, *argv], check=True)

    def socket(self, make):
        """What `make()` returns, called inside: sockets stay in the namespace."""
        made = []

        def inside():
            netns.setns(self.name)
            made.append(make())

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join(patience(60))
        assert not thread.is_alive(), "it takes too long"
        return made[0]

    def tune(self, **settings):
        """Set its net.ipv4 settings."""

        def write():
            for name, value in settings.items():
                Path("/proc/sys/net/ipv4", name).write_text(str(value))

        self.socket(write)

    def remove(self):
        netns.remove(self.name)
