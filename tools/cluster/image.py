"""Images without a registry: python -m tools.cluster.image ROOT NAME ENTRYPOINT OUT.

A container runtime imports the tar that this writes, in the format of `docker save`: one layer,
which is all that lies below ROOT.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

__all__ = ["write_image"]


def write_image(root: Path, name: str, entrypoint: str, out: Path) -> None:
    """An image called `name`, of the folder `root`. Beside `out` its layer lies for a while."""
    layer = out.with_suffix(".layer")
    with tarfile.open(layer, "w") as tar:
        tar.add(root, arcname=".")
    with layer.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    environment = ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]
    ask = ["dpkg", "--print-architecture"]  # Debian's names are those that images have
    told = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    config = {
        "architecture": told.strip(),
        "os": "linux",
        "config": {
            "Entrypoint": [entrypoint],
            "Env": environment,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(out, "w") as tar:
        tar.add(layer, arcname="layer.tar")
        for called, document in (("config.json", config), ("manifest.json", manifest)):
            data = json.dumps(document).encode()
            about = tarfile.TarInfo(called)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
    layer.unlink()


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit("usage: python -m tools.cluster.image ROOT NAME ENTRYPOINT OUT")
    write_image(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]))
