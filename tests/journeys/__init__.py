"""A package, so that the stack of its tests (`trade` in conftest.py) stops when a worker leaves this folder: one that
only stands there takes a twentieth of a processor until the end of the run."""
