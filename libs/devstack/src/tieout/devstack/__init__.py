"""The embedded stack: real servers from wheels, every service as its own process, and the `tieout` command."""
