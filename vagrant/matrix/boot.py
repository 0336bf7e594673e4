"""Run guest.sh: on a kernel that virtme-ng boots under emulation, or directly on the machine's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vagrant.matrix.errors import MatrixError
from vagrant.matrix.kernels import CHECKOUT, Kernel

__all__ = ["Job", "find_vng", "run"]

GUEST = Path(__file__).with_name("guest.sh")
OVERLAID = Path("/tmp")  # there a guest writes to an overlay of its own, which goes with it
PROBE_PATIENCE = {True: 60, False: 10}  # seconds a probe of doctor may take, emulated or not
POLL = 0.2  # seconds
DISK = "/dev/vda"  # in a guest: the archive, as it is


@dataclass(frozen=True, slots=True)
class Job:
    """One kernel to run. image: vmlinuz, None for the machine's own kernel; out: a folder."""

    kernel: Kernel
    out: Path
    image: str | None = None
    archive: Path | None = None
    doctor_only: bool = False
    pytest_args: Sequence[str] = ()


def find_vng() -> str:
    """The path of virtme-ng's program. Raises MatrixError."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("vng", path=os.pathsep.join([os.environ.get("PATH", ""), beside]))
    if found is None:
        raise MatrixError("no vng", "make matrix installs it, or pip install 'sockproxy[matrix]'")
    return found


def run(job: Job, stopped: Callable[[], bool], say: Callable[[str], None]) -> bool:
    """Run it to its end, and leave what it found in job.out; False when its time was up.

    stopped: asked again and again; True ends the guest at once.
    """
    shutil.rmtree(job.out, ignore_errors=True)
    job.out.mkdir(parents=True)
    command, path = _command(job)
    with (job.out / "console").open("wb") as console:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            cwd=CHECKOUT,
            env=os.environ | {"PATH": path},
            start_new_session=True,  # vng, QEMU and what is between them end together
        )
        try:
            return _watch(child, job, stopped, say)
        finally:
            _end(child)


def _command(job: Job) -> tuple[list[str], str]:
    """The command line that runs guest.sh, and the PATH that it needs."""
    kernel = job.kernel
    inside = [
        "env",
        f"SOCKPROXY_SCALE={kernel.scale:g}",
        f"SOCKPROXY_PATIENCE={kernel.patience:g}",
        f"PROBE_PATIENCE={PROBE_PATIENCE[job.image is not None]}",
        f"ONLY={'doctor' if job.doctor_only else ''}",
        f"REFUSES={kernel.refuses}",
        *("bash", str(GUEST), str(job.out), sys.executable, str(CHECKOUT)),
        DISK if job.archive else "-",
        f"--sample={kernel.sample}",
        *job.pytest_args,
    ]
    path = os.environ.get("PATH", "")
    if job.image is None:
        # What doctor keeps of a kernel that refuses is not true of the machine.
        private = ["unshare", "--mount", "--propagation", "private"] if kernel.refuses else []
        return [*private, *inside], path
    if OVERLAID in job.out.parents:
        raise MatrixError(f"{job.out} is below {OVERLAID}", "a guest's files there are lost")
    vng = find_vng()
    # KVM inside a virtual machine can hang; virtiofs is not everywhere; without --verbose the
    # console says nothing.
    options = ["--verbose", "--disable-kvm", "--force-9p", "--rwdir", str(job.out)]
    size = ["-m", f"{kernel.memory}M", "--cpus", str(kernel.cpus)]
    if job.archive:  # read ten times as fast as by 9p
        options.append(f"--qemu-opts=-drive file={job.archive},format=raw,if=virtio,readonly=on")
    return [vng, *options, *size, "-r", job.image, "--", *inside], os.pathsep.join(
        [str(Path(vng).parent), path]
    )


def _watch(
    child: subprocess.Popen[bytes],
    job: Job,
    stopped: Callable[[], bool],
    say: Callable[[str], None],
) -> bool:
    end = time.monotonic() + job.kernel.minutes * 60
    stage = "boots" if job.image else ""
    say(stage or "starts")
    while child.poll() is None:
        if stopped():
            return True
        if time.monotonic() > end:
            return False
        now = _read(job.out / "stage")
        if now and now != stage:
            stage = now
            say(stage)
        time.sleep(POLL)
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process that was started here, and every process of its group."""
    try:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(3)
    except subprocess.TimeoutExpired:
        pass
    except ProcessLookupError:
        child.wait()
        return
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()
