"""python -m mfm_edge: the same as the command mfm-edge."""

import sys

from mfm_edge.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
