"""Benchmarks: real tools through every system, side by side in one run, with statistics.

Layers, from the top down:

    report/, compare, summary, stats   what a document says
    campaign             turns, warm-up, progress; what comes of it is one document
    stage, standing      where a case is played; a system whose proxies run
    scenario, systems, peers   what is played: TOML files, read and checked
    tools/               the load: one module for each program that makes it
    topology             network namespaces, and the REDIRECT that puts a proxy in between
    process, programs, folder, accounting, machine   what runs where, and what it costs
    document, metrics, interrupt   what all of them share
"""
