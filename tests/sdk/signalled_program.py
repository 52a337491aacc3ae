"""A consumer whose handler is under way when a signal comes. Arguments: url, topic, folder."""

import sys
import threading
from pathlib import Path

from tallymq import Message, Tally


def main() -> None:
    url, topic, folder = sys.argv[1:]
    place, pause = Path(folder), threading.Event()
    tally = Tally(url)

    @tally.consumer(topic, group="signalled", concurrency=1)
    def handle(message: Message) -> None:
        (place / "started").touch()
        tally._end.wait()
        (place / "closing").touch()
        while not (place / "finish").exists():
            pause.wait(0.05)
        (place / "finished").touch()

    tally.run()


if __name__ == "__main__":
    main()
