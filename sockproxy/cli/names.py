"""What a NAME on the command line means."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import click

from sockproxy.cli.output import tell
from sockproxy.errors import PermissionDenied, SockproxyError
from sockproxy.proxy.asking import ANSWER_TIME, QUIET, ask_all
from sockproxy.rundir import check_name, is_running, running, sight

__all__ = ["complete_bypass", "complete_name", "complete_proxy", "gather", "select"]

NOT_ALL = 1  # exit status when a proxy or a bypass gave no answer


def complete_name(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """For a shell: the proxies and bypasses that run, and are called so."""
    return _complete(begun, running, sight.names)


def complete_proxy(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """As complete_name(), of proxies alone."""
    return _complete(begun, running)


def complete_bypass(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """As complete_name(), of bypasses alone."""
    return _complete(begun, sight.names)


def _complete(begun: str, *sources: Callable[[], list[str]]) -> list[str]:
    found: set[str] = set()
    for names in sources:
        with contextlib.suppress(SockproxyError, OSError):
            found.update(names())
    return sorted(each for each in found if each.startswith(begun))


def select(name: str | None) -> tuple[list[str], list[str]]:
    """The proxies and the bypasses that NAME means: all of both without one.

    Raises UsageError for a NAME that can be none, and SockproxyError where nothing has it.
    """
    if name is not None:
        check_name(name)
    try:
        now = sight.seen()
        bypasses = now.names
        for line in now.remarks:
            tell(line)
    except PermissionDenied as error:
        bypasses = []  # root's; what this user runs can be shown all the same
        tell(f"bypasses are not shown: {error}")
    if name is None:
        for line in sight.out_of_sight():
            tell(line)
        return _proxies(), bypasses
    proxies = _proxies(name)
    found = [name] if name in bypasses else []
    if not proxies and not found:
        if there := sight.find_elsewhere(name):
            raise SockproxyError(there)
        raise SockproxyError(
            f"nothing named {name} is running", hint="'sockproxy status' lists those that are"
        )
    return proxies, found


def _proxies(name: str | None = None) -> list[str]:
    try:
        if name is None:
            return running()
        return [name] if is_running(name) else []
    except PermissionDenied as error:
        tell(f"proxies are not shown: {error}")
        return []


def gather(
    name: str | None, question: str, look: Callable[[str], dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, str]]]:
    """The answers of the proxies called NAME, what is seen of the bypasses called NAME, and those
    of both that tell nothing, as {"name": ..., "why": ...}. None stands for all names.

    question: what a proxy is asked, "status" or "connections". look: what is called for a bypass.
    """
    proxies, bypasses = select(name)
    quiet = QUIET if name is None else ANSWER_TIME
    told: list[dict[str, Any]] = []
    seen: list[dict[str, Any]] = []
    silent: list[dict[str, str]] = []
    for each, answer in ask_all(proxies, question, quiet, tell).items():
        if isinstance(answer, SockproxyError):
            silent.append({"name": each, "why": str(answer)})
        else:
            told.append(answer)
    for each in bypasses:
        try:
            seen.append(look(each))
        except SockproxyError as error:
            if each in sight.names():  # else it was detached at this moment
                silent.append({"name": each, "why": str(error)})
    return told, seen, silent
