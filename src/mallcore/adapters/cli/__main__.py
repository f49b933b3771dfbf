"""`python -m mallcore.adapters.cli`, for where the script `mallcore` is not on the path."""

import sys

from mallcore.adapters.cli import main

sys.exit(main())
