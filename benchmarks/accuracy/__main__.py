"""``python -m benchmarks.accuracy``."""

import sys

if __name__ == "__main__":  # workers are started anew with this module, and need none of the command
    from benchmarks.accuracy.command import main

    sys.exit(main())
