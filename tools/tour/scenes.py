"""What the tour shows, a function a scene."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.tour.album import ROOT, Album
from tools.tour.chart import Series, draw
from tools.tour.dashboard import Panel, expression, legend, panels_of
from tools.tour.picture import shrink
from tools.tour.place import CGROUPS, HOME
from tools.tour.prometheus import Prometheus
from tools.tour.shop import INSIDE, ORDERS, order

SCENARIO = Path(__file__).with_name("tour.toml")
DASHBOARD = ROOT / "docs/prometheus/dashboard.json"
ATTACH = f"sockproxy attach {INSIDE} --cgroup {CGROUPS / INSIDE}"
OPTIONS = "--blocking-readers --any-reader"
RATES = "5s"  # what Grafana would take for $__rate_interval is longer, as it asks less often
BYTES = f'sum by (bypass) (rate(sockproxy_bypass_sent_bytes_total{{way="bypassed"}}[{RATES}]))'
MOST_EMPTY = 2  # panels: what tells of failures has no data where there are none
SECONDS = 4  # that a tap takes
FIELDS = " ".join(f"-e {each}" for each in ("tcp.srcport", "frame.comment", "_ws.col.Info"))
MACHINE = "section[aria-labelledby=machine]"  # of a report: whose figures they are
DRAWN = ".rickshaw_graph svg path"


def doctor(album: Album) -> None:
    """What was found out of this kernel."""
    album.terminal("doctor", "sockproxy doctor | tail -n 6")


def look(album: Album) -> None:
    """Attach, to count only."""
    album.text("observe", f"{ATTACH} --observe")


def switch_on(album: Album) -> None:
    """Have it bypass."""
    album.text("observed", f"sockproxy status {INSIDE}")
    album.text("attach", f"{ATTACH} {OPTIONS}")


def top(album: Album) -> None:
    """Live connections, and why not the kernel."""
    album.terminal("top", "sockproxy top", rows=16, quit_after=4.5)
    album.terminal("why", "sockproxy top --once --why")


def tap(album: Album) -> None:
    """A customer's orders. What others send meanwhile is left out."""
    record = f"sockproxy tap {INSIDE} --filter {ORDERS}/32 --for {SECONDS}s -w {INSIDE}.pcapng"
    listen = f"sockproxy events {INSIDE} --for {SECONDS}s | grep -F {ORDERS}"
    with ThreadPoolExecutor() as pool:
        events = pool.submit(album.text, "events", listen)
        taken = pool.submit(album.text, "capture", record)
        time.sleep(SECONDS / 2)
        subprocess.run(order(), check=True, stdout=subprocess.DEVNULL)
        events.result()
        taken.result()
    read = f"tshark -r {INSIDE}.pcapng"
    album.terminal("packets", f"{read} -T fields {FIELDS} 2>/dev/null | expand -t 8,20")
    album.terminal("stream", f"{read} -q -z follow,tcp,ascii,0 2>/dev/null | head -n 29")


def graph(album: Album, server: Prometheus) -> None:
    """The page of Prometheus itself."""
    now = time.time()
    if not any(value for line in server.range(BYTES, now) for _, value in line.points):
        raise SystemExit("tour: Prometheus has seen nothing that skipped TCP")
    seconds = int(now - server.began)
    album.camera.site(server.graph(BYTES, seconds), DRAWN, album.path("prometheus"))


def dashboard(album: Album, server: Prometheus) -> None:
    """All panels of the dashboard."""
    end = time.time()

    def series(panel: Panel) -> list[Series]:
        return [
            Series(legend(target.legend, line.labels), line)
            for target in panel.targets
            for line in server.range(expression(target.expression, RATES), end)
        ]

    panels, to = panels_of(DASHBOARD), album.path("dashboard")
    empty = [panel.title for panel in panels if not series(panel)]
    if len(empty) > MOST_EMPTY:
        raise SystemExit(f"tour: panels without data: {', '.join(empty)}")
    draw(panels, series, (server.began, end), to)
    shrink(to.read_bytes(), to)


def audit(album: Album, recorded: float) -> None:
    """What was noted."""
    album.text("audit", f"sockproxy audit {INSIDE} --since {int(time.time() - recorded)}s")


def switch_off(album: Album, programs: list[subprocess.Popen[bytes]]) -> None:
    """Detach, while these run."""
    album.text("detach", f"sockproxy detach {INSIDE}")
    time.sleep(1)
    if any(each.poll() is not None for each in programs):
        raise SystemExit("tour: a client ended with the detach")


def bench(album: Album) -> None:
    """The first screen of a report."""
    result, page = str(HOME / "bench.json"), HOME / "bench.html"
    run = ("sockproxy", "bench", "run", str(SCENARIO), "--output", result)
    subprocess.run(run, check=True, capture_output=True)
    report = ("sockproxy", "bench", "report", result, "--output", str(page))
    subprocess.run(report, check=True, capture_output=True)
    album.camera.file(page, MACHINE, album.path("bench"))
