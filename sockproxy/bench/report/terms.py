"""What a reader must know of a report's terms, one paragraph for each."""

from __future__ import annotations

__all__ = ["TERMS"]

TERMS = {
    "Figure": (
        "The median of all rounds, with the least and the most. In the plots each run is a dot, "
        "and the upright mark is the median."
    ),
    "Ratio": (
        "This system's figure divided by the other's, in the same rounds: what disturbed a "
        "round has disturbed both. With it stands its {confidence} confidence interval. It need "
        "not be the quotient of the two medians."
    ),
    "Best other proxy": (
        "Of the proxies that are not sockproxy's, the one with the best median in that case. The "
        "best of several owes a little of its lead to chance, so that what is compared with it "
        "looks a little worse than it is."
    ),
    "Judgement": (
        "Better or worse only where the whole interval is on one side of 1. Each stands for "
        "itself: of a hundred ratios of equal systems, about {chance} would be called "
        "different."
    ),
    "No difference": (
        "This run cannot tell the two apart. That does not show that they are equal: a "
        "difference as large as the ends of the interval may be there."
    ),
    "Too few rounds": (
        "Below {least} rounds the interval is the whole range, and nothing is concluded."
    ),
    "CPU": (
        "What client, server, proxy and kernel threads spent together, for each GB (10\u2079 "
        "bytes) or for each transaction. Less is better. All else that the machine did is left "
        "out."
    ),
    "Carried by": (
        "Which way the bytes went, as the median share of all runs. Bypassed: past TCP, "
        "straight from the sender to the receiver. Past the proxy: the same, with a proxy in "
        "between. Redirected in kernel: from socket to socket, "
        "inside a proxy. Pumped: copied by sockproxy, through user space. TCP: all the way "
        "through it."
    ),
    "Not to be compared": (
        "Figures of different cases, tools or machines, or of runs at another time; for two "
        "results there is 'sockproxy bench compare'. AF_UNIX is no TCP but its limit. A proxy "
        "does something that a direct connection does not, so that it is fair to compare a "
        "proxy with another one. Nothing here crosses a real network."
    ),
}
"""By term. {confidence}, {chance} and {least} are filled in by the report."""
