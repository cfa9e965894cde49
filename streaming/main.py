"""The driver file: what spark-submit is given. The rest comes from --py-files or from the installed package."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    if (Path(__file__).parent / "__init__.py").exists():
        # Inside its package, Python looks for modules beside this file; they are to be found as streaming.*.
        sys.path[0] = str(Path(__file__).resolve().parent.parent)
    try:
        from streaming.job import main
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"webevents streaming: needs the Python package of {error.name}, here and on every worker: pip install"
            " 'webevents[streaming]'; a Dataproc cluster has it from scripts/provision.sh, or from"
            " --properties dataproc:pip.packages=NAME==VERSION when it is created\n"
        )
        raise SystemExit(78) from None

    raise SystemExit(main(sys.argv[1:], os.environ))
