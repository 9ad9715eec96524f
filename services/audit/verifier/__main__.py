"""`python -m services.audit.verifier PATH --key VKEY [--checkpoint NOTE ...] [--json]`."""

import sys

from services.audit.verifier.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
