"""What this kernel may be asked for, by what doctor has proved of it."""

from __future__ import annotations

from collections.abc import Callable

from sockproxy.bpf.abi import Mode
from sockproxy.bpf.bypass_settings import Settings
from sockproxy.bypass.left_alone import was_fionread_found_wrong
from sockproxy.bypass.options import BypassOptions
from sockproxy.errors import PermissionDenied, Undecided, Unsupported
from sockproxy.proof.ask import find_out, proof_of, why_not_proved
from sockproxy.proof.mechanisms import BYPASS, OBSERVE

__all__ = ["allowed_mode", "takes_proof"]

TRY_AGAIN = "connections stay plain TCP; try again, or --force to do it without proof"
TELLS_MORE = (
    "connections stay plain TCP; 'sockproxy doctor' tells more, and --force tries it all the same"
)


def allowed_mode(options: BypassOptions, tell: Callable[[str], None]) -> tuple[Mode, str]:
    """The mode that a bypass with these options may have here, and why not what was asked for.

    Raises Unsupported and PermissionDenied where not even to observe is proved, and Undecided
    where doctor could not find out.
    """
    asked = OBSERVE if options.observe else BYPASS
    mode = Mode.OBSERVE if options.observe else Mode.BYPASS
    if options.force:
        return mode, ""
    find_out((BYPASS, OBSERVE), tell)
    if not (why_not := why_not_proved(asked)):
        return mode, ""
    found, doing = proof_of(asked), f"attach a bypass: {why_not}"
    # Where nobody knows it must not observe: it would for ever, as there is none to ask again.
    if found.known and asked is BYPASS:
        if not (why_none := why_not_proved(OBSERVE)):
            return Mode.OBSERVE, why_not
        if not proof_of(OBSERVE).known:
            found, doing = proof_of(OBSERVE), f"{doing}; {why_none}"
    if not found.known:
        raise Undecided(doing, hint=TRY_AGAIN)
    if found.lacks_rights:
        raise PermissionDenied(doing, hint="run as root")
    raise Unsupported(doing, hint=TELLS_MORE)


def takes_proof(name: str, now: Settings, options: BypassOptions, mode: Mode) -> bool:
    """Whether readers of NAME may have to be known to do without FIONREAD; `now` are the settings
    that it is attached with.

    Where it was attached because FIONREAD is right nothing could show it, and they would be plain
    for ever: that nobody has asked doctor is no reason. Raises Unsupported where FIONREAD was found
    to be wrong after all.
    """
    if now.fionread_is_wrong:
        return True
    if not (options.fionread_is_wrong or was_fionread_found_wrong()):
        return False
    if mode is Mode.BYPASS and not options.any_reader:
        raise Unsupported(
            f"change {name}: FIONREAD is wrong here, and nothing that {name} was"
            " attached with tells who does without it",
            hint=f"detach {name} first, or give --any-reader",
        )
    return True
