"""Who waits for an entry of this leadership to be applied. Everyone is told exactly once, whatever happens."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar


class ProposalKind(Enum):
    """How a proposal ended."""

    APPLIED = "applied"
    UNKNOWN = "unknown"
    """Leadership was lost, or the shard stopped, after the entry was appended: it may yet be applied, or not."""
    NOT_LEADER = "not leader"
    """Nothing was appended."""
    REFUSED = "refused"
    """Nothing was appended: a rule of the membership forbids it; `result` is that Refusal."""
    OVERLOADED = "overloaded"
    """Nothing was appended: too many bytes are appended and not yet applied."""


@dataclass(frozen=True, slots=True)
class ProposalOutcome:
    """How a proposal ended; `result` is what `apply` returned for it, None unless APPLIED or REFUSED."""

    kind: ProposalKind
    index: int = 0
    result: object = None


UNKNOWN = ProposalOutcome(ProposalKind.UNKNOWN)
NOT_LEADER = ProposalOutcome(ProposalKind.NOT_LEADER)
OVERLOADED = ProposalOutcome(ProposalKind.OVERLOADED)

Done = Callable[[ProposalOutcome], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Waiter:
    index: int
    size_bytes: int
    done: Done


class Waiting:
    """Callers in the order of their entries, all of one leadership: whoever stops leading abandons them."""

    def __init__(self) -> None:
        self._waiters: deque[_Waiter] = deque()
        self.size_bytes = 0
        self.callback_failures = 0

    def add(self, index: int, size_bytes: int, done: Done) -> None:
        """Note who waits for the entry at `index`."""
        self._waiters.append(_Waiter(index, size_bytes, done))
        self.size_bytes += size_bytes

    def applied(self, index: int, result: object) -> None:
        """Tell whoever waits for this very entry."""
        if self._waiters and self._waiters[0].index == index:
            waiter = self._waiters.popleft()
            self.size_bytes -= waiter.size_bytes
            self.tell(waiter.done, ProposalOutcome(ProposalKind.APPLIED, index, result))

    def abandon(self) -> None:
        """Tell everyone that the outcome is not known here."""
        waiters, self._waiters, self.size_bytes = self._waiters, deque(), 0
        for waiter in waiters:
            self.tell(waiter.done, UNKNOWN)

    def tell(self, done: Callable[[T], None], outcome: T) -> None:
        """Call one caller back. What goes wrong there is the caller's, and must not reach the log."""
        try:
            done(outcome)
        except Exception:  # noqa: BLE001 - a caller's mistake must not make an entry be applied twice
            self.callback_failures += 1
