"""A consumer whose handler is under way when a signal comes. Arguments: url, topic, folder, seconds to shut down in.

The handler ends when the file `finish` is there.
"""

import sys
import threading
from pathlib import Path

from tallymq import Message, Tally


def main() -> None:
    url, topic, folder, shutdown_timeout_s = sys.argv[1:]
    place, pause = Path(folder), threading.Event()
    tally = Tally(url, shutdown_timeout_s=float(shutdown_timeout_s))

    @tally.consumer(topic, group="signalled", concurrency=1, lease_s=1)
    def handle(message: Message) -> None:
        (place / "started").touch()
        tally._end.wait()
        (place / "closing").touch()
        while not (place / "finish").exists():
            pause.wait(0.05)
        (place / "finished").touch()

    tally.run()
    (place / "returned").touch()


if __name__ == "__main__":
    main()
