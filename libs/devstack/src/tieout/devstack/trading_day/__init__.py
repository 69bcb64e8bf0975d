"""A trading day made up from a seed: what two companies sell, cancel, take back and get paid, with everything that
goes wrong on such a day, and for each document what must become of it.

The same seed, size and hour give the same bytes. Nothing here does I/O.
"""

from tieout.devstack.trading_day.documents import Expected, Fed
from tieout.devstack.trading_day.plan import Day, plan

__all__ = ["Day", "Expected", "Fed", "plan"]
