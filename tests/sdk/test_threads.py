"""Threads for what blocks: each piece is run once or not at all, and whoever gave it knows which."""

import threading

import pytest

from tallymq._threads import DaemonThreads


def test_what_was_refused_for_want_of_a_thread_is_never_run_and_the_next_is(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    threads = DaemonThreads(1, "scarce")

    def none_left(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as scarce:
        scarce.setattr(threading.Thread, "start", none_left)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            threads.submit(ran.append, "refused")
    threads.submit(ran.append, "taken").result(60)
    threads.shutdown()
    assert ran == ["taken"]


def test_after_the_end_nothing_is_taken_and_what_waited_is_run_or_cancelled_as_told() -> None:
    for cancels, ran_in_the_end in ((False, ["first", "waited"]), (True, ["first"])):
        ran: list[str] = []
        started, finish = threading.Event(), threading.Event()

        def first(ran: list[str] = ran, started: threading.Event = started, finish: threading.Event = finish) -> None:
            started.set()
            finish.wait(60)
            ran.append("first")

        threads = DaemonThreads(1, "ending")
        running, waiting = threads.submit(first), threads.submit(ran.append, "waited")
        assert started.wait(60)
        threads.shutdown(wait=False, cancel_futures=cancels)
        with pytest.raises(RuntimeError, match="told to end"):
            threads.submit(ran.append, "late")
        finish.set()
        running.result(60)
        assert waiting.cancelled() == cancels
        threads.shutdown(wait=True)
        assert ran == ran_in_the_end
