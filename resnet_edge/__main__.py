"""``python -m resnet_edge``: the command line."""

import sys

from resnet_edge.cli import main

sys.exit(main())
