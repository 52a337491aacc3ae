"""Makes a node forget the beginning of its log at once, however little retention would want that."""

from tallymq.raftlog.host import Host, ShardHandle
from tallymq.raftlog.log_writer import Draft
from tallymq.raftlog.payloads import Base, encode_base
from tallymq.raftlog.records import Kind


def drop_prefix(host: Host, handle: ShardHandle) -> None:
    log, number = host._opened.log, handle.number
    shard = log._shard(number)
    index = handle.applied_index
    term = log.term_at(number, index)
    base = Base(index, term, shard.base.generation, shard.base.configuration)
    if shard.holds(index):
        shard.drop_through(index)
    shard.base = base
    shard._note_known(log.round_open)
    payload = encode_base(base)
    log._drafts.append(Draft(Kind.BASE, number, term, index, (payload,), len(payload)))
    host._members[number].rebase()
