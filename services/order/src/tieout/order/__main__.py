"""`python -m tieout.order serve | migrate`"""

from tieout.order.app import build
from tieout.servicekit import main

main("order", build)
