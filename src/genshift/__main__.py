"""`python -m genshift`, also for `torchrun -m genshift`."""

import sys

from genshift.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
