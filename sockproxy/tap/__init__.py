"""What accelerated connections carry, as a capture that Wireshark reads.

bypass.py and proxy.py tap, and capture.py writes what either found.
"""
