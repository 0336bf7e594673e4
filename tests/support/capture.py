"""Conversations to be captured, and what captures say."""

from __future__ import annotations

import random
import re
import subprocess
import threading

from tests.support.scale import patience
from tests.support.sockets import receive


def talk(one, other, sizes, seed=1):
    """What each sent: random bytes, in messages of these sizes by `one`, each answered by one."""
    dice, sent = random.Random(seed), {one: b"", other: b""}
    for size in sizes:
        for source, target, many in ((one, other, size), (other, one, dice.choice(sizes))):
            data = dice.randbytes(many)
            sent[source] += data
            writer = threading.Thread(target=source.sendall, args=(data,))
            writer.start()
            assert receive(target, many) == data  # which the tap has not touched
            writer.join()
    return sent[one], sent[other]


def tshark(path, *arguments):
    """What it prints of the capture, whose checksums it checks."""
    argv = ["tshark", "-r", str(path), "-o", "tcp.check_checksum:TRUE", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=patience(60), check=True)
    return done.stdout


def followed(path, number=0):
    """The two sides of that stream, as Wireshark puts it together."""
    found = [b"", b""]
    for line in tshark(path, "-q", "-z", f"follow,tcp,raw,{number}").splitlines():
        if re.fullmatch(r"\t?[0-9a-f]+", line):
            found[line.startswith("\t")] += bytes.fromhex(line.strip())
    return found
