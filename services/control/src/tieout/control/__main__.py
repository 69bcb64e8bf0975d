"""python -m tieout.control serve|migrate"""

from tieout.control.app import build
from tieout.servicekit import main

if __name__ == "__main__":
    main("control", build)
