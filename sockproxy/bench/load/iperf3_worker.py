"""One run of iperf3 by its library, in a process of its own: `-m ...iperf3_worker OPTIONS`.

The iperf3 package turns descriptor 1 into a pipe, hangs when the library prints more than fits
into that, and does not put it back: so nothing else should run in the process that uses it.
OPTIONS: JSON, attributes of iperf3.Client.
Prints the library's JSON.
"""

from __future__ import annotations

import json
import sys

import iperf3

__all__: list[str] = []


def main() -> None:
    """Run the client, and print its result."""
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
