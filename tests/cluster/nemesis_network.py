"""Faults of the network between nodes. Clients reach every node all the time, also those that nobody else can hear."""

from abc import abstractmethod

from tests.cluster.nemesis import LOSS_PERCENT, SLOW_LINK, Nemesis

Hears = dict[str, set[str]]
"""By node: whom it still hears, itself aside."""


class Partition(Nemesis):
    """Some nodes do not hear some others."""

    @abstractmethod
    def hears(self, names: list[str]) -> Hears:
        """Who still hears whom, of nodes in an order of chance."""

    def start(self) -> str:
        """Cuts what must be cut."""
        names = self.chooser.sample(self.field.names, len(self.field.names))
        heard = self.hears(names)
        for name in names:
            self.field.network.deafen(name, [other for other in names if other != name and other not in heard[name]])
        return "; ".join(f"{name} hears {', '.join(sorted(heard[name])) or 'nobody'}" for name in sorted(names))

    def heal(self) -> None:
        """All hear all."""
        self.field.network.heal()


class Half(Partition):
    """A minority and a majority that do not hear each other."""

    name = "half"

    def hears(self, names: list[str]) -> Hears:
        """The first few are the minority; every other time a leader is one of them."""
        few = self.pick(self.minority)
        sides = (set(few), set(names) - set(few))
        return {name: side - {name} for side in sides for name in side}


class OneWay(Partition):
    """One node hears all, and nobody hears it; or nobody is heard by it, and all hear it."""

    name = "one-way"

    def hears(self, names: list[str]) -> Hears:
        """The way is of chance."""
        victim = self.pick()[0]
        others = set(names) - {victim}
        if self.chooser.random() < 0.5:
            return {victim: set(), **{name: set(names) - {name} for name in others}}
        return {victim: others, **{name: others - {name} for name in others}}


class Bridge(Partition):
    """Two halves that hear only themselves, and one node that both halves hear."""

    name = "bridge"

    def hears(self, names: list[str]) -> Hears:
        """The first is the bridge."""
        bridge, rest = names[0], names[1:]
        half = len(rest) // 2
        sides = (set(rest[:half]), set(rest[half:]))
        return {bridge: set(rest), **{name: (side | {bridge}) - {name} for side in sides for name in side}}


class Ring(Partition):
    """Five: each hears two neighbours, a majority, but no two the same. Three: each hears the one before it only."""

    name = "ring"
    keeps_majority = False

    def hears(self, names: list[str]) -> Hears:
        """In the order of the names given."""
        count = len(names)
        steps = (-1, 1) if count > 3 else (-1,)
        return {name: {names[(place + step) % count] for step in steps} for place, name in enumerate(names)}


class Loss(Nemesis):
    """30 % of all packets between nodes are lost."""

    name = "loss"

    def start(self) -> str:
        """Loses them."""
        for name in self.field.names:
            self.field.network.lose(name, LOSS_PERCENT)
        return f"{LOSS_PERCENT} % everywhere"

    def heal(self) -> None:
        """Loses nothing."""
        self.field.network.heal()


class SlowLink(Nemesis):
    """What one node sends, to its peers and to clients, goes at 1 Mbit/s, behind up to 400 ms of its own."""

    name = "slow-link"

    def start(self) -> str:
        """Slows it."""
        for name in self.pick():
            self.field.network.slow(name, SLOW_LINK)
        return ", ".join(self.victims)

    def heal(self) -> None:
        """Lets it be as fast as it is."""
        self.field.network.heal()
