"""Benchmarks: real tools through every system, side by side in one run, with statistics.

Layers, from the top down:

    campaign     turns, warm-up, progress; what comes of it is one document
    systems      direct TCP, AF_UNIX, bypass, and proxies that TOML files describe
    tools/       the load: one module for each program that makes it
    topology     network namespaces, and the REDIRECT that puts a proxy in between
    process, accounting, machine   what runs where, what it costs, what it runs on
    report/, compare, stats        what the document says
    document, metrics, scenario    the shapes that all of them share
"""
