"""`python -m bench.demo`: plain TCP, user-space relays and the spliced proxy, in one table.

__main__   options, signals, exit codes
campaign   rounds in which all systems take turns
load       iperf3 and netperf: one run, its figures
systems    what is compared, each a process in the client's namespace
network    two namespaces, and the REDIRECT to the proxy under test
process    servers and clients, placed on CPUs, ended by pid
machine    CPUs, CPU time, versions
report     medians and spread: the table and the JSON
"""

from __future__ import annotations
