"""Kernels as Debian packages: found, downloaded and unpacked below build/kernels; not installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.apt_sources import read_sources
from vagrant.matrix.errors import MatrixError
from vagrant.matrix.kernels import Kernel
from vagrant.matrix.sources import find_source, write_apt

__all__ = ["Unpacked", "fetch", "resolve"]

META = "linux-image-amd64"
# What holds files: the image, and where that is split, its parts. Not "linux-image-amd64".
PARTS = re.compile(r"\blinux-(?:image|binary|modules)-\d[^\s,|(]*")
HAS_9P = "kernel/fs/9p"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A kernel that can be booted. image: the path of vmlinuz, with lib/modules beside boot."""

    release: str
    version: str
    image: str


def fetch(kernel: Kernel, folder: Path, update: bool, say: Callable[[str], None]) -> Unpacked:
    """The kernel, from `folder` if it is there; `update` asks whether there is a newer one.

    Raises MatrixError.
    """
    record = folder / "kernel.json"
    have = Unpacked(**json.loads(record.read_text())) if record.exists() else None
    if have and Path(have.image).exists() and not update:
        return have
    conf = _update(kernel, folder / "apt", say)
    parts = resolve(lambda name: _run(["apt-cache", "-c", conf, "show", "--no-all-versions", name]))
    version = parts[META]
    if have and have.version == version and Path(have.image).exists():
        return have
    debs = folder / "debs"
    shutil.rmtree(debs, ignore_errors=True)  # an older version's
    debs.mkdir()
    wanted = [f"{name}={each}" for name, each in parts.items() if name != META]
    say(f"downloads {' '.join(wanted)}")
    _run(["apt-get", "-qq", "-c", conf, "download", *wanted], cwd=debs)
    say("unpacks it")
    found = unpack(sorted(debs.glob("*.deb")), folder / "tree", version)
    record.write_text(json.dumps(asdict(found)) + "\n")
    return found


def resolve(show: Callable[[str], str]) -> dict[str, str]:
    """Package to version: the meta package and all parts of the kernel that it leads to.

    show: returns what `apt-cache show --no-all-versions` prints of a package.
    """
    found: dict[str, str] = {}
    todo = [META]
    while todo:
        name = todo.pop()
        fields = dict(re.findall(r"^(Version|Depends|Pre-Depends): (.*)$", show(name), re.M))
        if "Version" not in fields:
            raise MatrixError(f"the archive has no package {name}")
        found[name] = fields.pop("Version")
        todo += [each for each in PARTS.findall(" ".join(fields.values())) if each not in found]
    if len(found) == 1:
        raise MatrixError(f"{META} {found[META]} depends on no kernel that is known here")
    return found


def _update(kernel: Kernel, folder: Path, say: Callable[[str], None]) -> Path:
    """Get the lists of the kernel's suites; returns apt's configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = read_sources()
    main = find_source(sources, kernel.suite)
    security = find_source(sources, kernel.security) if kernel.security else None
    if main is None:
        raise MatrixError(
            "no apt source gives this machine Debian's main",
            "add one to /etc/apt/sources.list.d, or run the kernel 'host' only",
        )
    stanzas = [main.stanza(kernel.suite)]
    say(f"asks {main.uri} for {kernel.suite}")
    if security is not None:
        conf = write_apt(folder, [*stanzas, security.stanza(kernel.security)])
        if _update_succeeds(conf):
            return conf
    if kernel.security:
        say(f"no {kernel.security} to be had: takes the kernel of {kernel.suite} alone")
    conf = write_apt(folder, stanzas)
    if not _update_succeeds(conf):
        raise MatrixError(
            f"cannot get {kernel.suite} from {main.uri}",
            f"see 'apt-get -c {conf} update'; a mirror may lack the suite",
        )
    return conf


def _update_succeeds(conf: Path) -> bool:
    # --error-on=any: what cannot be fetched is otherwise but a warning.
    command = ["apt-get", "-qq", "-c", str(conf), "update", "--error-on=any"]
    return subprocess.run(command, capture_output=True).returncode == 0


def unpack(debs: list[Path], tree: Path, version: str) -> Unpacked:
    """Unpack into `tree`, laid out as virtme-ng wants it whatever the release does."""
    shutil.rmtree(tree, ignore_errors=True)
    for deb in debs:
        _run(["dpkg-deb", "-x", deb, tree])
    modules = tree / "lib" / "modules"
    if (tree / "usr" / "lib" / "modules").is_dir():
        modules.parent.mkdir(exist_ok=True)
        (tree / "usr" / "lib" / "modules").rename(modules)
    releases = [each.name for each in modules.glob("*")] if modules.is_dir() else []
    if len(releases) != 1:
        raise MatrixError(f"{tree} should hold the modules of one kernel, and has {releases}")
    release = releases[0]
    image = tree / "boot" / f"vmlinuz-{release}"
    inside = modules / release / "vmlinuz"
    if not image.exists() and inside.exists():
        image.parent.mkdir(exist_ok=True)
        inside.rename(image)
    if not image.exists():
        raise MatrixError(f"no vmlinuz in {tree}")
    if not (modules / release / HAS_9P).exists():
        raise MatrixError(f"{release} has no 9p, by which a guest reads the machine's files")
    _run(["depmod", "-b", tree, release])
    return Unpacked(release, version, str(image))


def _run(command: list[str | Path], cwd: Path | None = None) -> str:
    """Run a command; what it prints. Raises MatrixError with the last line of its errors."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    except FileNotFoundError:
        raise MatrixError(f"no {command[0]}", "as root, run tools/setup-debian matrix") from None
    if done.returncode:
        told = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise MatrixError(f"{command[0]} failed: {told[-1]}")
    return done.stdout
