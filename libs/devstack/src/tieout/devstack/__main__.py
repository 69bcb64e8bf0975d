import sys

from tieout.devstack.entry import main

sys.exit(main())
