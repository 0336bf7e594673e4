"""Rules as people write them."""

from __future__ import annotations

import pytest

from sockproxy.errors import UsageError
from sockproxy.net.rules import parse_rule


@pytest.mark.parametrize(
    ("text", "shown", "network"),
    [
        ("80", "deny 80", "::/0"),
        ("0-1023", "deny 0-1023", "::/0"),
        ("10.0.0.0/8", "deny 10.0.0.0/8", "::ffff:10.0.0.0/104"),
        ("10.1.2.3", "deny 10.1.2.3/32", "::ffff:10.1.2.3/128"),
        ("10.1.2.3/8", "deny 10.0.0.0/8", "::ffff:10.0.0.0/104"),
        ("::1", "deny ::1/128", "::1/128"),
        ("fd00::/8", "deny fd00::/8", "fd00::/8"),
        ("::/0", "deny ::/0", "::/0"),
        ("0-65535", "deny 0-65535", "::/0"),
        ("0.0.0.0/0", "deny 0.0.0.0/0", "::ffff:0.0.0.0/96"),
    ],
)
def test_what_a_rule_is(text, shown, network):
    rule = parse_rule(text, deny=True)
    assert str(rule) == shown
    assert rule.network == type(rule.network)(network)


@pytest.mark.parametrize(
    ("text", "only"),
    [("::/0", True), ("::/64", True), ("::ffff:0:0/96", False), ("0.0.0.0/0", False),
     ("80", False), ("0-65535", False), ("fd00::/8", True)],
)  # fmt: skip
def test_a_network_of_ipv6_is_not_one_of_ipv4(text, only):
    """Though v4-mapped addresses lie in some of them."""
    assert parse_rule(text, deny=True).only_ipv6 == only


@pytest.mark.parametrize(
    "text", ["", "http", "70000", "90-80", "10.0.0.0/33", "-1", "80,443", "1-2-3"]
)
def test_what_is_none(text):
    with pytest.raises(UsageError):
        parse_rule(text, deny=False)
