"""How clients reach nodes: a request goes out, an answer comes back, either may be lost, and then nobody knows.

A client is a generator of wishes: `Sleep`, or `Call`, which is answered with an `Answer`. It does one thing at a time.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tallymq.raftlog.errors import NotLeader, OutcomeUnknown
from tallymq.txn.commands import Command
from tests.simulator.node import EPOCH_MS, Caller, Handle
from tests.workloads.history import Outcome

if TYPE_CHECKING:
    from tests.simulator.node import Node
    from tests.simulator.world import World

TIMEOUT_US = 2_000_000
PAUSE_US = 60_000


@dataclass(frozen=True, slots=True)
class Sleep:
    """Do nothing for a while."""

    us: int


@dataclass(frozen=True, slots=True)
class Call:
    """Propose a command to a node. `then` is run there on its result, and what it returns is answered."""

    node: str
    shard: int
    command: Command
    bodies: Sequence[bytes] = ()
    then: Callable[[Handle, Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """How it ended, and the result, or for a refusal the error."""

    outcome: Outcome
    value: Any = None
    is_first: bool = True
    """Whether no earlier try of it may still happen."""


Script = Generator[Sleep | Call, Answer | None, None]


class Client:
    """Drives one script."""

    def __init__(self, world: "World", name: str, number: int) -> None:
        self.world = world
        self.name = name
        self.chance = world.random(f"client {name}")
        self.instance = (1 << 40) + number
        self.sequence = 0
        self.clock_ahead_ms = 0
        self.finished = False
        self._leaders: dict[int, str] = {}
        self._number = 0
        self._script: Script | None = None

    def start(self, script: Script) -> None:
        self._script = script
        self.world.after(self.chance.randrange(1, 500_000), self._resume, None)

    def _resume(self, answer: Answer | None) -> None:
        assert self._script is not None
        try:
            wish = self._script.send(answer)
        except StopIteration:
            self.finished = True
            return
        if isinstance(wish, Sleep):
            self.world.after(wish.us, self._resume, None)
            return
        self._number += 1
        world = self.world
        world.after(TIMEOUT_US, self._answered, self._number, Answer(Outcome.UNKNOWN))
        if self.chance.random() >= world.client_loss:
            world.after(self._delay_us(), self._arrive, self._number, wish)

    def _delay_us(self) -> int:
        return self.chance.randrange(*self.world.shape.delay_us)

    def _arrive(self, number: int, call: Call) -> None:
        node = self.world.nodes[call.node]
        if not node.alive:
            # Nobody listens: the connection is refused, and that is certain.
            self.world.after(self._delay_us(), self._answered, number, Answer(Outcome.REFUSED, None))
            return
        node.do(node.life, self._take, node, number, call)

    def _take(self, node: "Node", number: int, call: Call) -> None:
        handle = node.handles[call.shard]

        def answered(result: object, error: Exception | None) -> None:
            if isinstance(error, OutcomeUnknown):
                answer = Answer(Outcome.UNKNOWN)
            elif error is not None:
                answer = Answer(Outcome.REFUSED, error)
            else:
                answer = Answer(Outcome.OK, result if call.then is None else call.then(handle, result))
            # What a process has handed to its machine's network leaves even if the process ends.
            node.point("before answer")
            if self.chance.random() >= self.world.client_loss:
                self.world.after(self._delay_us(), self._answered, number, answer)

        handle.propose_for(Caller(answered), call.command, call.bodies)

    def _answered(self, number: int, answer: Answer) -> None:
        if number == self._number:
            self._number += 1
            self._resume(answer)

    # What scripts use

    def now_ms(self) -> int:
        """Unix time as this client sees it, corrected by what refusals told about the cluster's."""
        return EPOCH_MS + self.world.now_us // 1000 + self.clock_ahead_ms

    def submit(
        self,
        shard: int,
        command: Command,
        bodies: Sequence[bytes] = (),
        then: Callable[[Handle, Any], Any] | None = None,
        tries: int = 6,
    ) -> Generator[Sleep | Call, Answer | None, Answer]:
        """Call until somebody answers, `tries` times; only for commands that may be repeated.

        REFUSED only if each call certainly did not happen.
        """
        known = True
        for _ in range(tries):
            names = self.world.names
            node = self._leaders.get(shard) or self.chance.choice(names)
            answer = yield Call(node, shard, command, bodies, then)
            assert answer is not None
            self.world.note("answer", self.name, shard, answer.outcome.value)
            if answer.outcome is Outcome.OK:
                self._leaders[shard] = node
                return Answer(Outcome.OK, answer.value, known)
            self._leaders.pop(shard, None)
            if answer.outcome is Outcome.UNKNOWN:
                known = False
            elif isinstance(answer.value, NotLeader) and answer.value.leader:
                self._leaders[shard] = answer.value.leader
            yield Sleep(self.chance.randrange(PAUSE_US // 4, PAUSE_US * 4))
        return Answer(Outcome.REFUSED if known else Outcome.UNKNOWN)
