"""`python -m services.inference.transformers_runtime`: as `kaitobus-transformers`."""

import sys

from services.inference.transformers_runtime.app import main

if __name__ == "__main__":
    sys.exit(main())
