"""``python -m parrot_adapters`` is ``parrot``."""

import sys

from parrot_adapters.cli import main

sys.exit(main())
