"""Pairs of sockets and their life-cycle, the proxy, and what can be asked of it."""
