"""`python -m tieout.finance serve | migrate`"""

from tieout.finance.app import build
from tieout.servicekit import main

main("finance", build)
