"""What can go wrong with a cluster, one class a fault: `start` brings it about, `heal` ends it.

While a fault with `keeps_majority` lasts, a majority can still speak with each other, so writes must go on after at
most an election. A nemesis may be started and healed again and again, by one thread.
"""

import signal
from abc import ABC, abstractmethod
from random import Random
from typing import ClassVar

from tests.cluster.field import Field

HOUR_S = 3_600
LOSS_PERCENT = 30
SLOW_LINK = "1mbit"
SLOW_SYNC_US = 200_000


class Nemesis(ABC):
    """One kind of fault."""

    name: ClassVar[str]
    keeps_majority: ClassVar[bool] = True
    needs_clocks: ClassVar[bool] = False

    def __init__(self, field: Field, chooser: Random) -> None:
        self.field = field
        self.chooser = chooser
        self.victims: list[str] = []

    @abstractmethod
    def start(self) -> str:
        """Brings the fault about; returns what was done to whom."""

    @abstractmethod
    def heal(self) -> None:
        """Ends it. The cluster may need a while afterwards."""

    def pick(self, count: int = 1) -> list[str]:
        """Victims; every other time a leader is among them."""
        names = self.chooser.sample(self.field.names, count)
        leaders = sorted({leader for leader in self.field.cluster.leaders().values() if leader})
        if leaders and self.chooser.random() < 0.5:
            leader = self.chooser.choice(leaders)
            names = [leader, *[name for name in names if name != leader]][:count]
        self.victims = names
        return names

    @property
    def minority(self) -> int:
        """The most nodes that the others can do without."""
        return (len(self.field.names) - 1) // 2

    def signal(self, number: int) -> None:
        """Sends a signal to the victims."""
        for name in self.victims:
            process = self.field.cluster.node(name).process
            assert process is not None
            process.send_signal(number)


class Kill(Nemesis):
    """kill -9 of as many as the others can do without."""

    name = "kill"

    def start(self) -> str:
        """Kills."""
        for name in self.pick(self.chooser.randint(1, self.minority)):
            self.field.cluster.node(name).kill()
        return ", ".join(self.victims)

    def heal(self) -> None:
        """Starts them again."""
        for name in self.victims:
            self.field.cluster.node(name).start()


class KillAll(Kill):
    """kill -9 of all at once."""

    name = "kill-all"
    keeps_majority = False

    def start(self) -> str:
        """Kills all before it waits for any."""
        self.victims = list(self.field.names)
        self.signal(signal.SIGKILL)
        for name in self.victims:
            self.field.cluster.node(name).kill()
        return "all"


class Pause(Nemesis):
    """Nodes stand still, and then go on as if nothing had been."""

    name = "pause"

    def start(self) -> str:
        """Stops them."""
        self.pick(self.chooser.randint(1, self.minority))
        self.signal(signal.SIGSTOP)
        return ", ".join(self.victims)

    def heal(self) -> None:
        """Lets them go on."""
        self.signal(signal.SIGCONT)


class PowerCut(Nemesis):
    """The power of one node goes, and with it what was not on its disk."""

    name = "power"

    def start(self) -> str:
        """Cuts it."""
        self.field.cut_power(self.pick())
        return ", ".join(self.victims)

    def heal(self) -> None:
        """Brings it back."""
        self.field.power_up(self.victims)


class PowerCutAll(PowerCut):
    """The power of the whole site goes at one instant."""

    name = "power-all"
    keeps_majority = False

    def start(self) -> str:
        """Cuts it everywhere."""
        self.victims = list(self.field.names)
        self.field.cut_power(self.victims)
        return "all"


class RollingRestart(Nemesis):
    """Each node in turn is told to stop, and started again once it has; as an upgrade does it."""

    name = "rolling"

    def start(self) -> str:
        """Restarts all of them, one after the other."""
        for node in self.field.nodes:
            if node.stop() != 0:
                raise RuntimeError(f"{node.name} did not stop as told: {node.tail()}")
            node.start()
            self.field.wait_whole()
        return "all"

    def heal(self) -> None:
        """Nothing is left of it."""


class SlowDisk(Nemesis):
    """Each sync of one node takes 200 ms longer."""

    name = "slow-disk"

    def start(self) -> str:
        """Slows it."""
        for name in self.pick():
            self.field.slow_disk(name, SLOW_SYNC_US)
        return ", ".join(self.victims)

    def heal(self) -> None:
        """Lets it be as fast as it is."""
        self.field.heal_disks()


class FullDisk(Nemesis):
    """One node's disk has no byte left."""

    name = "full-disk"

    def start(self) -> str:
        """Fills it."""
        for name in self.pick():
            self.field.volumes[name].fill()
        return ", ".join(self.victims)

    def heal(self) -> None:
        """Frees it, and starts the node again where it could not go on."""
        for name in self.victims:
            self.field.volumes[name].free()
            if not self.field.cluster.node(name).is_running:
                self.field.cluster.node(name).start()


class ClockAhead(Nemesis):
    """The wall clock of one node jumps an hour ahead, and later back."""

    name = "clock-ahead"
    needs_clocks = True
    ahead_s = HOUR_S

    def start(self) -> str:
        """Jumps."""
        for name in self.pick():
            self.field.set_clock(name, self.ahead_s)
        return f"{', '.join(self.victims)} by {self.ahead_s} s"

    def heal(self) -> None:
        """Jumps back."""
        for name in self.victims:
            self.field.set_clock(name, 0)


class ClockBehind(ClockAhead):
    """The wall clock of one node jumps an hour back, and later ahead."""

    name = "clock-behind"
    ahead_s = -HOUR_S
