"""python -m mfm_edge.register list|show|forget|export: see mfm_edge/register/commands.py."""

import sys

from mfm_edge.register.commands import main

if __name__ == "__main__":
    sys.exit(main())
