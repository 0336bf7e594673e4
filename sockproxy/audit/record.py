"""Writes down which connections skip TCP, as their bypasses tell of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from sockproxy.audit.trail import Trail
from sockproxy.bpf.abi import Event
from sockproxy.bypass.events import Groups, Lost, Told, as_json, time_of

__all__ = ["BEGUN", "ENDED", "LOST", "SKIPPED", "Recorder"]

BEGUN, ENDED, LOST, SKIPPED = "recording", "recording-ended", "lost", "skipped-tcp"
MOST = 100_000  # sockets whose program is remembered
UNKNOWN: Mapping[str, Any] = {"began": None, "pid": None, "program": ""}
OF_EACH = (
    *("bypass", "cookie", "peer", "role", "local", "remote", "cgroup", "netns"),
    *("bypassed_bytes", "bypassed_messages", "passed_bytes", "passed_messages"),
)


class Recorder:
    """Writes to `trail`, which says from when to when it did. Its calls raise SockproxyError."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._groups = Groups()
        self._began: OrderedDict[tuple[str, int], Mapping[str, Any]] = OrderedDict()
        self._file = 0
        self.written = 0

    def begin(self, before: str | None) -> None:
        """It records from now on. before: when the recorder before it last lived, if there was."""
        self._append(BEGUN, before=before)
        self._file = self._trail.grows()

    def end(self) -> None:
        """And no more."""
        self._append(ENDED)

    def take(self, told: Iterable[Told | Lost]) -> None:
        """Write down the sockets that have closed after something of theirs skipped TCP; and in
        each new file, that this goes on, as what tells that it began is removed one day."""
        if self._trail.grows() != self._file:
            self._append(BEGUN, goes_on=True)
            self._file = self._trail.grows()
        for each in told:
            if isinstance(each, Lost):
                self._append(LOST, bypass=each.name, count=each.count)
            elif each.event.kind is Event.BEGAN:
                self._remember(each)
            elif each.event.kind is Event.CLOSED:
                began = self._began.pop((each.name, each.event.cookie), UNKNOWN)
                if each.event.bypassed_bytes:
                    self._write(each, began)

    def _remember(self, told: Told) -> None:
        event = told.event
        began = {
            "began": time_of(told),
            "pid": event.process,
            "program": event.program,
        }
        self._began[told.name, event.cookie] = began
        if len(self._began) > MOST:
            self._began.popitem(last=False)

    def _write(self, told: Told, began: Mapping[str, Any]) -> None:
        about = as_json(told, self._groups)
        self._append(SKIPPED, **{each: about[each] for each in OF_EACH}, **began)
        self.written += 1

    def _append(self, action: str, **more: Any) -> None:
        self._trail.append({"action": action, **more})
