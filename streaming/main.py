"""The driver file: what spark-submit is given. The rest comes from --py-files or from the installed package."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    if (Path(__file__).parent / "__init__.py").exists():
        # Inside its package, Python looks for modules beside this file; they are to be found as streaming.*.
        sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from streaming.job import main

    raise SystemExit(main(sys.argv[1:], os.environ))
