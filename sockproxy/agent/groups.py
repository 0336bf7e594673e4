"""The cgroup of a pod, by its uid: where the kubelet makes it, with either of its drivers."""

from __future__ import annotations

from pathlib import Path

__all__ = ["find_pod"]

CLASSES = ("burstable", "besteffort")  # a guaranteed pod is above them


def find_pod(uid: str, root: Path) -> Path | None:
    """The directory of the pod's cgroup; None while there is none.

    root: below which the kubelet has its own: the mount of cgroup v2, but for a kubelet that runs
    with --cgroup-root.
    """
    return next((each for each in _places(uid, root) if each.is_dir()), None)


def _places(uid: str, root: Path) -> list[Path]:
    cgroupfs, systemd = root / "kubepods", root / "kubepods.slice"
    escaped = uid.replace("-", "_")  # systemd takes a dash for a level
    return [
        cgroupfs / f"pod{uid}",
        *(cgroupfs / each / f"pod{uid}" for each in CLASSES),
        systemd / f"kubepods-pod{escaped}.slice",
        *(
            systemd / f"kubepods-{each}.slice" / f"kubepods-{each}-pod{escaped}.slice"
            for each in CLASSES
        ),
    ]
