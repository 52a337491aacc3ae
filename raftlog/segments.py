"""The files of the log: their names, and the handles through which they are read.

A name is `log-<number>-<salt>.segment`, both in sixteen hexadecimal digits. The number grows by one from file to file;
the salt is drawn at each use of a file, so a recycled file gets a new name before it is written.
"""

from __future__ import annotations

import errno
import re
from collections import OrderedDict

from tallymq.raftlog.disk import Disk, DiskFile
from tallymq.raftlog.errors import LogDamaged
from tallymq.raftlog.records import BLOCK_BYTES, HEADER_BYTES, Kind, Record, peek_header, verify

# A bad sector, or a file that went missing: damage, which the caller tells from a tail. Other errors are raised.
_UNREADABLE = (errno.EIO, errno.ENOENT)
_NAME = re.compile(r"log-([0-9a-f]{16})-([0-9a-f]{16})\.segment")


def segment_name(number: int, salt: int) -> str:
    """Return the file name of a segment."""
    return f"log-{number:016x}-{salt:016x}.segment"


def parse_segment_name(name: str) -> tuple[int, int] | None:
    """Return number and salt, or None for a file that is no segment."""
    match = _NAME.fullmatch(name)
    return (int(match[1], 16), int(match[2], 16)) if match else None


class Segments:
    """All segments there are, by number; keeps a bounded number of files open for reading."""

    def __init__(self, disk: Disk, open_files_max: int) -> None:
        self._disk = disk
        self._open_files_max = open_files_max
        self._files: OrderedDict[int, DiskFile] = OrderedDict()
        self._salts: dict[int, int] = {}
        for name in disk.names():
            parsed = parse_segment_name(name)
            if parsed is not None:
                self._note(*parsed)

    def _note(self, number: int, salt: int) -> None:
        if number in self._salts:
            raise LogDamaged(f"Two files of the log claim to be segment {number}; remove the one that does not belong.")
        self._salts[number] = salt

    def numbers(self) -> list[int]:
        """Return the numbers of all segments, ascending."""
        return sorted(self._salts)

    def salt(self, number: int) -> int:
        """Return the salt of a segment; KeyError if there is no such segment."""
        return self._salts[number]

    def __contains__(self, number: int) -> bool:
        return number in self._salts

    def length(self, number: int) -> int:
        """Return how long a segment's file is."""
        return self._file(number).length()

    def create(self, number: int, salt: int, length: int) -> DiskFile:
        """Make a segment's file with room for `length` bytes and open it for writing; if that fails, it is not there.

        Its name is not synced yet.
        """
        file = self._disk.create(segment_name(number, salt))
        try:
            file.allocate(length)
        except OSError:
            file.close()
            self._disk.remove(segment_name(number, salt))
            raise
        self._note(number, salt)
        return file

    def writable(self, number: int) -> DiskFile:
        """Open a segment for writing; the caller closes it."""
        return self._disk.open(segment_name(number, self._salts[number]))

    def remove(self, number: int) -> None:
        """Remove a segment's file. Its name is not synced yet."""
        self._disk.remove(self.detach(number))

    def detach(self, number: int) -> str:
        """Forget a segment and return its file's name: it is there until somebody removes it."""
        file = self._files.pop(number, None)
        if file is not None:
            file.close()
        return segment_name(number, self._salts.pop(number))

    def read(self, number: int, offset: int, length: int) -> bytes:
        """Return at most `length` bytes of a segment: fewer where it ends, none where the disk cannot read them.

        KeyError if there is no such segment.
        """
        try:
            return self._file(number).read(offset, length)
        except OSError as error:
            if error.errno in _UNREADABLE:
                return b""
            raise

    def read_record(self, number: int, offset: int, payload_length: int) -> Record | None:
        """Return the record written at `offset` with so long a payload; None if it is not there or not sound."""
        if number not in self._salts:
            return None
        return verify(self._salts[number], offset, self.read(number, offset, HEADER_BYTES + payload_length))

    def read_segment_record(self, number: int) -> Record | None:
        """Return the first record of a segment, if it is sound."""
        # Later versions may make it longer; it always lies within the first block.
        head = self.read(number, 0, HEADER_BYTES)
        header = peek_header(head)
        if header is None or header.length > BLOCK_BYTES - HEADER_BYTES:
            return None
        record = self.read_record(number, 0, header.length)
        return record if record is not None and record.kind == Kind.SEGMENT else None

    def _file(self, number: int) -> DiskFile:
        file = self._files.get(number)
        if file is None:
            file = self._disk.open(segment_name(number, self._salts[number]))
            self._files[number] = file
            if len(self._files) > self._open_files_max:
                self._files.popitem(last=False)[1].close()
        self._files.move_to_end(number)
        return file

    def close(self) -> None:
        """Close every file opened for reading."""
        while self._files:
            self._files.popitem()[1].close()
