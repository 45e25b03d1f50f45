"""ccproxy as a program: `ccproxy` where it is installed, `./start.sh` in a checkout.

In the wheel the checkout's root is the package `ccproxy`; in both places it goes on the path, as in ccproxy_addon.py.
"""

import sys
from pathlib import Path

if sys.version_info < (3, 12):  # noqa: UP036 (an older Python can read this file, and none of the others)
    sys.exit("ccproxy needs Python 3.12 or newer; this is " + sys.version.split()[0] + ".")

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from addon.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
