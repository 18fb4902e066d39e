"""`python -m meanfield`."""

import sys

from meanfield.cli import main

if __name__ == "__main__":
    sys.exit(main())
