"""python -m tieout.inventory serve | migrate"""

from tieout.inventory.app import build
from tieout.servicekit import main

main("inventory", build)
