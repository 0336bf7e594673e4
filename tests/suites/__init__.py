"""Other projects' own test suites, plain and bypassed: the same outcome, test by test.

In layers, from the top down:

    cli                  the command line
    document, words      docs/suites.md and the table at the end of a run
    campaign             suites, parts and modes, one after the other; what differs again
    record               what is kept of a run
    ground               a cgroup and a network namespace for one run, with a bypass or without
    sources              Debian's sources, fetched and built below build/suites
    kinds                what is peculiar to a suite: how it is run, and its report read
    table, compare, errors
"""
