"""python -m tieout.gateway serve | migrate"""

from tieout.gateway.app import build
from tieout.servicekit import main

main("gateway", build)
