"""The command line for operators and developers: `tallymq`.

A noun is a file (`topic.py`, `transaction.py`); each asks the service through `connection.py` and prints through
`printer.py`. Whatever goes wrong becomes a `Failure`, whose exit code comes from the one table in `exits.py`.
"""

from tallymq.cli.program import main

__all__ = ["main"]
