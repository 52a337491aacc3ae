"""A web application whose client is made, and used, before gunicorn forks. Wants BANK_URL and BANK_TOPIC."""

import os
from collections.abc import Callable, Iterable

from tallymq import Tally

TOPIC = os.environ["BANK_TOPIC"]

tally = Tally(os.environ["BANK_URL"])
tally.publish(TOPIC, {"by": os.getpid(), "what": "loaded"})


def application(environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Publishes the path that is asked for; answers which process did."""
    tally.publish(TOPIC, {"by": os.getpid(), "what": environ["PATH_INFO"]})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
