"""Keys: ordered by number, and no name is the beginning of another's range."""

from tallymq.txn import keys, queries
from tallymq.txn.commands import CreateTopic, EnsureQueue, Publish, PutGroup
from tallymq.txn.types import Batch, Identity
from tests.support.view import Shard

NAMES = ["a", "a.", "a/b", "a0", "ab", "aa", "b"]


def test_the_keys_of_a_queue_and_no_others_lie_in_its_range() -> None:
    places = [keys.place_of(topic_id, queue) for topic_id in (1, 2, 255, 256) for queue in (0, 1, 255)]
    all_keys = [keys.entry_key(place, last) for place in places for last in (0, 255, 256, 1 << 40)]
    for place in places:
        prefix = keys.entry_key(place, 0)[:-8]
        inside = [key for key in all_keys if prefix <= key < keys.end_of(prefix)]
        assert inside == sorted(key for key in all_keys if key[1:13] == place)


def test_the_entry_that_holds_an_offset_is_the_first_key_from_it_on() -> None:
    shard = Shard()
    shard.do(EnsureQueue("t", 1, 0, 1, 0, 0))
    for sequence, count in enumerate((1, 5, 1, 9, 300)):
        batch = Batch("t", 0, 1, count, 0, 10 * count, 0)
        shard.do(Publish(Identity(1, sequence, shard.now_ms), "", "", (batch,)))
    for offset in range(316):
        (piece,) = queries.browse(shard.view, "t", 0, offset, 1)
        assert (piece.first_offset, piece.count) == (offset, 1)
    assert queries.browse(shard.view, "t", 0, 316, 1) == []


def test_topics_and_groups_are_listed_by_name_page_by_page() -> None:
    shard = Shard()
    for name in NAMES:
        shard.do(CreateTopic(name, (0,), 0, 0))
        shard.do(PutGroup(name, 1, 1, 1, 1))
    for listing in (queries.topics, queries.groups):
        found, after = [], ""
        while page := listing(shard.view, after, 2):
            found += [one.name for one in page]
            after = found[-1]
        assert found == sorted(NAMES)


def test_queues_are_listed_once_each_page_by_page() -> None:
    shard = Shard()
    wanted = [(name, queue) for name in NAMES for queue in (0, 1, 300)]
    for name, queue in wanted:
        shard.do(EnsureQueue(name, 1, queue, 301, 0, 0))
    found, after = [], ("", 0)
    while page := queries.queues(shard.view, *after, 4):
        found += [(one.topic, one.queue) for one in page]
        after = found[-1]
    assert sorted(found) == sorted(wanted)
    assert len(set(found)) == len(found)
