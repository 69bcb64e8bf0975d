import sys

from tieout.devstack.cli import main

sys.exit(main())
