"""`python -m netemu.cli`: the same as `netemu`."""

import sys

from netemu.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
