"""Benchmarks: real tools through every system, side by side in one run, with statistics.

From the top down:

    report/      a result as a page, as Markdown, as a table
    campaign     a run: turns, warm-up, progress; what it finds becomes one document
    stage        one case: its namespaces, its cgroups, the tool's server, one run of its client
    subject      one system under test: its proxies, its bypass, what it carried
    ability      which cases and systems cannot be measured on this machine, and why
    scenario, systems, peers   what is measured: TOML files, read and checked
    load/        the load: one module for each program that makes it
    topology     network namespaces, and the REDIRECT that puts a proxy in between
    process, meter, machine, workplace   what runs where, what it costs, on which machine
    result/      the document of a run, its statistics, and comparing two of them
    describe     what the document says of all of these before anything is measured
    interrupt    what Ctrl-C ends, and what it does not
"""
