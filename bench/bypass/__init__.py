"""`make bench-bypass`: plain TCP, the bypass and AF_UNIX side by side, on one CPU."""
