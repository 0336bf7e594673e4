"""One run of iperf3 by its library, in a process of its own: `-m ...iperf3_worker OPTIONS`.

The package turns fd 1 into a pipe, waits for ever when more comes than fits into that, and
leaves the process in a state of which nobody knows. OPTIONS: JSON, attributes of iperf3.Client.
Prints the library's JSON.
"""

from __future__ import annotations

import json
import sys

import iperf3

__all__: list[str] = []


def main() -> None:
    """Run it, and print what it found."""
    client = iperf3.Client()
    for name, value in json.loads(sys.argv[1]).items():
        setattr(client, name, value)
    client.json_output = True
    result = client.run()
    if result.error:
        sys.exit(f"iperf3: {result.error}")
    print(json.dumps(result.json))


if __name__ == "__main__":
    main()
