"""Run several kernels, some of them at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vagrant.matrix.archive import pack
from vagrant.matrix.boot import Job, find_vng, run
from vagrant.matrix.kernels import CHECKOUT, Kernel
from vagrant.matrix.packages import Unpacked, fetch
from vagrant.matrix.results import Record, read_run, save

__all__ = ["KERNELS", "campaign", "fetch_all"]

KERNELS = CHECKOUT / "build" / "kernels"
Say = Callable[[str], None]


def fetch_all(kernels: Sequence[Kernel], update: bool, say: Say) -> dict[str, Unpacked]:
    """The images of the kernels that are booted, by name, downloaded one after the other: they come
    from one mirror."""
    return {
        kernel.name: fetch(kernel, KERNELS / kernel.name, update, _prefixed(say, kernel))
        for kernel in kernels
        if not kernel.is_host
    }


def campaign(
    kernels: Sequence[Kernel],
    out: Path,
    jobs: int,
    say: Say,
    update: bool = False,
    doctor_only: bool = False,
    pytest_args: Sequence[str] = (),
) -> list[Record]:
    """Run all, and leave OUT/NAME.json of each, and its files in OUT/NAME.

    Ctrl-C ends what runs. Raises MatrixError.
    """
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    booted = any(not kernel.is_host for kernel in kernels)
    if booted:
        find_vng()  # before minutes are spent on packages
    images = fetch_all(kernels, update, say)
    archive = out / "guest.tar"
    stop = threading.Event()

    def one(kernel: Kernel) -> Record:
        told = _prefixed(say, kernel)
        image = images.get(kernel.name)
        job = Job(
            kernel,
            out / kernel.name,
            image.image if image else None,
            archive if image else None,
            doctor_only,
            pytest_args,
        )
        begun = time.monotonic()
        in_time = run(job, stop.is_set, told)
        seconds = time.monotonic() - begun
        version = image.version if image else ""
        record = read_run(kernel, job.out, in_time, version, seconds)
        record["selection"] = " ".join(pytest_args) or None
        if not stop.is_set():
            save(record, out)
            told(record["outcome"])
        return record

    try:
        if booted:
            say("packs what guests read most")
            pack(archive)
        with ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(one, kernel) for kernel in kernels]
            try:
                return [future.result() for future in futures]
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        archive.unlink(missing_ok=True)


def _prefixed(say: Say, kernel: Kernel) -> Say:
    return lambda text: say(f"{kernel.name}: {text}")
