"""What bypassed connections carry, as a capture that Wireshark reads."""
