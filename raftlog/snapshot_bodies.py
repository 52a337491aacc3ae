"""Puts the parts of bodies together at the receiving end, and believes none of them before its checksum."""

from __future__ import annotations

import google_crc32c
import msgspec

from tallymq.raftlog.snapshot_messages import BodyPiece
from tallymq.raftlog.snapshot_stage import Stage


class VoidSnapshot(Exception):
    """What came cannot be part of a snapshot; nothing of it is kept."""


class Assembly:
    """One body at a time, by ascending index. Holds at most one whole body."""

    def __init__(self, bodies_after: int = 0) -> None:
        self.last_index = bodies_after
        self._parts: list[BodyPiece] = []

    @property
    def is_open(self) -> bool:
        """Whether a body was begun and not ended."""
        return bool(self._parts)

    def take(self, piece: BodyPiece, stage: Stage) -> bytes | None:
        """Take the next part; return the body if that was its last. Raises VoidSnapshot for what does not fit."""
        if piece.damaged:
            # The sender cannot read it. Whoever wants it here will ask the other nodes.
            self.last_index = max(self.last_index, piece.index)
            self._parts.clear()
            return None
        if not (self._follows(piece) and self.last_index < piece.index <= stage.index and piece.term <= stage.term):
            raise VoidSnapshot
        self._parts.append(piece)
        if not piece.is_last:
            return None
        body = b"".join([part.data for part in self._parts]) if len(self._parts) > 1 else piece.data
        self._parts.clear()
        if google_crc32c.value(body) != piece.crc32c:
            raise VoidSnapshot
        self.last_index = piece.index
        return body

    def _follows(self, piece: BodyPiece) -> bool:
        if not self._parts:
            return piece.offset == 0
        last = self._parts[-1]
        return piece.offset == last.offset + len(last.data) and _without_data(piece) == _without_data(last)


def _without_data(piece: BodyPiece) -> BodyPiece:
    return msgspec.structs.replace(piece, offset=0, data=b"", crc32c=0)
