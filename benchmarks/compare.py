"""`python -m benchmarks.compare OLD.json NEW.json`: two saved runs side by side."""

import sys
from pathlib import Path

from benchmarks.report import load, make_console, print_comparison


def main() -> int:
    """Exit code 2 where the files are not two runs."""
    if len(sys.argv) != 3:
        print("usage: make bench-compare A=OLD.json B=NEW.json", file=sys.stderr)
        return 2
    try:
        old, new = (load(Path(path)) for path in sys.argv[1:])
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print_comparison(old, new, make_console())
    return 0


if __name__ == "__main__":
    sys.exit(main())
