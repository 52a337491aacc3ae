"""What the user registered with a client: checks, consumers, where markers are. The decorators of both clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tallymq._checks import CheckFunction
from tallymq._handlers import ConsumerSpec, Handler, Ordered, wants_database
from tallymq._records import check_name
from tallymq._settings import Settings
from tallymq.databases.sources import Source, source_of
from tallymq.exceptions import ConfigurationError
from tallymq.types import Retry

AnyHandler = TypeVar("AnyHandler", bound=Handler)
AnyCheck = TypeVar("AnyCheck", bound=CheckFunction)

CONCURRENCY_MAX = 1_024
LEASE_S_MIN, LEASE_S_MAX = 1.0, 43_200.0


class Registry:
    """Base of Tally and AsyncTally."""

    _takes_async = False

    def __init__(self, settings: Settings, checker: object, inbox: object) -> None:
        self.settings = settings
        self.checker: Source | None = None if checker is None else source_of(checker)
        self.functions: dict[str, CheckFunction] = {}
        self.consumers: list[ConsumerSpec] = []
        self._inbox: Source | None = None if inbox is None else source_of(inbox)
        if checker is not None:
            self._need_group("checker=")

    def _timeout(self, timeout_s: float | None) -> float:
        return self.settings.timeout_s if timeout_s is None else timeout_s

    def _need_group(self, what: str) -> None:
        if not self.settings.group:
            raise ConfigurationError(f"{what} needs a producer group.", hint='Give group="..." to the client.')

    def _need_checker(self, what: str) -> None:
        self._need_group(what)
        if self.checker is None:
            raise ConfigurationError(
                f"{what} needs checker=, by which transactions are found whose outcome got lost.",
                hint="Give the client a URL, an engine, a pool, or a function that connects to the same database.",
            )

    def _need_answers(self) -> None:
        if self.settings.group and self.checker is None and not self.functions:
            raise ConfigurationError(
                f"The client is of producer group {self.settings.group!r} and can answer no check.",
                hint="Give it checker= or an @check; leave group= out where it only publishes or consumes.",
            )

    def check(self, topic: str) -> Callable[[AnyCheck], AnyCheck]:
        """Register check code of your own for a topic: a function of a HalfMessage that returns a Decision.

        Only needed where no database says what became of the work. It decides for all halves of the topic.
        """
        check_name(topic, "Topic")
        self._need_group("@check")

        def register(function: AnyCheck) -> AnyCheck:
            if topic in self.functions:
                raise ConfigurationError(f"Topic {topic!r} has a check already.")
            self.functions[topic] = function
            return function

        return register

    def consumer(
        self,
        topic: str,
        *,
        group: str,
        retry: Retry | None = None,
        concurrency: int = 8,
        ordered: Ordered = None,
        lease_s: float = 30.0,
        start_at: str = "earliest",
        inbox: object = None,
    ) -> Callable[[AnyHandler], AnyHandler]:
        """Register a handler of (message) or, with an inbox, (message, db).

        `concurrency` messages are handled at once (1 to 1,024); with `ordered="key"` those of one key one after the
        other. A handler that returns acknowledges; one that raises sends the message back, with the exception as the
        reason, until `retry` is used up. `db` is a connection (or session) of `inbox` in a transaction that was opened
        for the handler and commits with it; a message done before is acknowledged, not run.
        """
        check_name(topic, "Topic")
        check_name(group, "Consumer group")
        if not 1 <= concurrency <= CONCURRENCY_MAX:
            raise ConfigurationError(f"concurrency is 1 to {CONCURRENCY_MAX}, not {concurrency}.")
        if not LEASE_S_MIN <= lease_s <= LEASE_S_MAX:
            raise ConfigurationError(f"lease_s is {LEASE_S_MIN:g} to {LEASE_S_MAX:g}, not {lease_s}.")
        if start_at not in {"earliest", "latest"}:
            raise ConfigurationError(f'start_at is "earliest" or "latest", not {start_at!r}.')
        if ordered not in {None, "key"}:
            raise ConfigurationError(f'ordered is None or "key", not {ordered!r}.')
        source = self._inbox if inbox is None else source_of(inbox)

        def register(handler: AnyHandler) -> AnyHandler:
            spec = ConsumerSpec(
                topic=topic,
                group=group,
                handler=handler,
                retry=retry,
                concurrency=concurrency,
                ordered=ordered,
                lease_ms=round(lease_s * 1000),
                from_start=start_at == "earliest",
                source=self._source_for(handler, source),
            )
            if spec.is_async and not self._takes_async:
                raise ConfigurationError("A Tally runs blocking handlers.", hint="Use def, or AsyncTally.")
            self.consumers.append(spec)
            return handler

        return register

    @staticmethod
    def _source_for(handler: Handler, source: Source | None) -> Source | None:
        if not wants_database(handler):
            return None
        if source is None:
            raise ConfigurationError(
                "A handler of (message, db) needs inbox=.",
                hint="Give an engine, a pool, a session maker or a function that connects.",
            )
        return source
