"""Topics, known to the metadata shard only: the machine refuses these commands elsewhere.

A topic's number is never used again, nor is anything stored under it.

Rule 8: a name is free only when every queue of the topic before it is dropped. A deletion is in two phases, ordered by
this shard's log: while its queues are being marked it may be taken back; once all of them are it is confirmed, which is
final, and only then do queues go. So no queue is gone when another turns out to hold a transaction in doubt.
"""

from __future__ import annotations

from msgspec.structs import replace

from tallymq.txn import keys
from tallymq.txn.commands import ConfirmDelete, CreateTopic, DeleteTopic, RemoveTopic, UndeleteTopic
from tallymq.txn.draft import Draft
from tallymq.txn.outcomes import Done, Refusal, TopicMade
from tallymq.txn.state import TopicState


def create(draft: Draft, command: CreateTopic) -> TopicMade | Refusal:
    """Make a topic; making it again with as many queues changes nothing."""
    key = keys.topic_key(command.name)
    known = draft.get(key, TopicState)
    if known is not None:
        if known.deleting:
            return Refusal.TOPIC_DELETING
        if len(known.queue_shards) != len(command.queue_shards):
            return Refusal.TOPIC_EXISTS
        return TopicMade(known.topic_id, repeated=True)
    counts = draft.counts()
    draft.put_counts(replace(counts, topic_id_next=counts.topic_id_next + 1))
    draft.put(
        key,
        TopicState(counts.topic_id_next, command.queue_shards, command.retention_ms, command.retention_bytes),
    )
    draft.metadata_changed()
    return TopicMade(counts.topic_id_next, repeated=False)


def delete(draft: Draft, command: DeleteTopic) -> Done | Refusal:
    """Mark a topic as being deleted."""
    key = keys.topic_key(command.name)
    known = draft.get(key, TopicState)
    if known is None:
        return Refusal.UNKNOWN_TOPIC
    if not known.deleting:
        draft.put(key, replace(known, deleting=True, deletion=draft.index))
        draft.metadata_changed()
    return Done()


def undelete(draft: Draft, command: UndeleteTopic) -> Done | Refusal:
    """Take a deletion back, unless it is confirmed."""
    key = keys.topic_key(command.name)
    known = draft.get(key, TopicState)
    if known is None or known.topic_id != command.topic_id:
        return Refusal.UNKNOWN_TOPIC
    if known.confirmed:
        return Refusal.TOPIC_DELETING
    if known.deleting:
        draft.put(key, replace(known, deleting=False, deletion=0))
        draft.metadata_changed()
    return Done()


def confirm(draft: Draft, command: ConfirmDelete) -> Done | Refusal:
    """Make a deletion final. One that was taken back, even if another began since, is not confirmed."""
    key = keys.topic_key(command.name)
    known = draft.get(key, TopicState)
    if known is None or known.topic_id != command.topic_id:
        return Refusal.UNKNOWN_TOPIC
    if not known.deleting or known.deletion != command.deletion:
        return Refusal.TOPIC_EXISTS
    if not known.confirmed:
        draft.put(key, replace(known, confirmed=True))
        draft.metadata_changed()
    return Done()


def remove(draft: Draft, command: RemoveTopic) -> Done | Refusal:
    """Free the name of a topic whose deletion is confirmed; if that topic is gone already, it is so."""
    key = keys.topic_key(command.name)
    known = draft.get(key, TopicState)
    if known is None or known.topic_id != command.topic_id:
        return Done()
    if not known.confirmed:
        return Refusal.TOPIC_DELETING if known.deleting else Refusal.TOPIC_EXISTS
    draft.delete(key)
    draft.metadata_changed()
    return Done()
