"""Telling people outside: which channels there are, and the sender of what waits for them."""
