"""What is printed as JSON is what its schema says, field by field."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import sockproxy

FOLDER = Path(sockproxy.__file__).with_name("schema")
MOST_ROWS = 100  # of a list: to look at ten thousand sockets takes a minute


def schema(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


@cache
def validator(name):
    # Not everybody who imports this has it, and it takes a quarter of a second.
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema(name))


def check_document(text):
    """The document that a command has printed, as its `kind` is described."""
    found = json.loads(text)
    _check(found["kind"], found)
    return found


def check_line(text):
    """The object that is a line of a log."""
    found = json.loads(text)
    _check("log", found)
    return found


def _check(name, found):
    errors = [
        f"{'/'.join(map(str, each.absolute_path))}: {each.message[:300]}"
        for each in validator(name).iter_errors(_shortened(found))
    ]
    assert not errors, f"not as sockproxy/schema/{name}.json says: {errors[:5]}"


def _shortened(value):
    if isinstance(value, dict):
        return {name: _shortened(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_shortened(each) for each in value[:MOST_ROWS]]
    return value
