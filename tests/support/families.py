"""Processes that fork others."""

import contextlib
import subprocess

import psutil

END_S = 60.0


def end_family(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of a process and of all it forked, which may be past noticing that it is gone."""
    children: list[psutil.Process] = []
    if process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait(END_S)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
