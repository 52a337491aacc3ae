"""Whether this process may do what root may: a container's root often may not."""

import functools
import os
import tempfile
from pathlib import Path
from subprocess import CalledProcessError, TimeoutExpired

from tests.support.filesystem import LoopFileSystem


@functools.cache
def root_is_missing() -> str | None:
    """Why no file system of one's own can be made here, or None where one was made, mounted and taken off."""
    if os.name != "posix" or os.geteuid() != 0:
        return "needs root"
    try:
        with tempfile.TemporaryDirectory() as folder, LoopFileSystem(Path(folder) / "disk"):
            return None
    except FileNotFoundError as error:
        return f"needs {error.filename}, to make a file system"
    except CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        return f"needs a root that may mount a file system: {error.cmd[0]} said {said!r}"
    except (OSError, TimeoutExpired) as error:
        return f"needs a root that may mount a file system: {error}"
