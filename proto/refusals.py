"""Every refusal a caller can meet, as data: one table for the service, the client and `tallymq explain`.

A code is `TMQ-<ROOM>-<NNN>` and stable: rows are added at the end of their room and never renumbered. `definite` says
that what was asked certainly did not happen; `retryable` that the same request may be sent again and may succeed.
`status` is the name of the gRPC status. This module imports nothing, so that any program may read it.
"""

from __future__ import annotations

from typing import NamedTuple


class Refusal(NamedTuple):
    """One way to be refused. `message` says what happened and `hint` what to do next, both for a person."""

    name: str
    code: str
    status: str
    definite: bool
    retryable: bool
    message: str
    hint: str


def _refusal(row: str, message: str, hint: str, *, definite: bool = True, retryable: bool = False) -> Refusal:
    code, name, status = row.split()
    return Refusal(name, "TMQ-" + code, status, definite, retryable, message, hint)


_RULES = (
    _refusal(
        "TXN-001 HANDLE_EXPIRED FAILED_PRECONDITION",
        "The transaction was decided earlier and forgotten since, or was never prepared; this call changed nothing.",
        "The outcome is not known here any more. Look at the marker row in your own database for what was decided.",
    ),
    _refusal(
        "TXN-002 WRONG_HANDLE INVALID_ARGUMENT",
        "The handle does not name a transaction: instance, sequence or bits differ from what is stored.",
        "Send the handle exactly as the prepare reply gave it.",
    ),
    _refusal(
        "TXN-003 ALREADY_COMMITTED FAILED_PRECONDITION",
        "The transaction was committed before; the first decision is final.",
        "Nothing can roll it back. See who decided with `tallymq transaction show ID`.",
    ),
    _refusal(
        "TXN-004 ALREADY_ROLLED_BACK FAILED_PRECONDITION",
        "The transaction was rolled back before; the first decision is final.",
        "Nothing can commit it. See who decided with `tallymq transaction show ID`.",
    ),
    _refusal(
        "TXN-005 FOREIGN_HANDLE PERMISSION_DENIED",
        "The transaction was prepared by another producer group or another principal.",
        "Decide it under the group and the client certificate that prepared it, or as an operator.",
    ),
    _refusal(
        "TXN-006 CONTRADICTION INVALID_ARGUMENT",
        "One decision asks to commit and to roll back the same transaction.",
        "Put each transaction in one of the two bit sets.",
    ),
    _refusal(
        "TXN-007 DEADLINE_PASSED FAILED_PRECONDITION",
        "The frame's deadline had passed when it came to be stored.",
        "Send the messages again as a new frame with a later deadline; check this machine's clock if it happens often.",
    ),
    _refusal(
        "TXN-008 DEADLINE_TOO_FAR INVALID_ARGUMENT",
        "The frame's deadline is more than 15 minutes ahead.",
        "Use a deadline within 15 minutes, or 0 for 60 seconds; check this machine's clock.",
    ),
    _refusal(
        "TXN-009 FRAME_DIFFERS ALREADY_EXISTS",
        "Another frame with the same instance and sequence is stored.",
        "Use each sequence number for one frame, and draw a new instance after a fork or a restart.",
    ),
    _refusal(
        "TXN-010 UNKNOWN_TOPIC NOT_FOUND",
        "There is no topic of this name.",
        "Make it with `tallymq topic create NAME`, or look for a typing error in `tallymq topic list`.",
    ),
    _refusal(
        "TXN-011 UNKNOWN_QUEUE NOT_FOUND",
        "The topic has no queue of this number on this shard.",
        "Ask for the topic's route again; queues are numbered from 0.",
    ),
    _refusal(
        "TXN-012 UNKNOWN_GROUP NOT_FOUND",
        "There is no consumer group of this name.",
        "A group is made when its first consumer subscribes; see `tallymq group list`.",
    ),
    _refusal(
        "TXN-013 QUEUE_COUNT_CHANGED FAILED_PRECONDITION",
        "The queue was chosen by another queue count than the topic has.",
        "Ask for the topic's route again, choose the queue anew and send the records as a new frame.",
    ),
    _refusal(
        "TXN-014 QUEUE_TWICE INVALID_ARGUMENT",
        "Two batches of one frame are for the same queue.",
        "Join the records of one queue into one batch.",
    ),
    _refusal(
        "TXN-015 DELIVERY_TIME_TOO_FAR INVALID_ARGUMENT",
        "A delivery time is more than 40 days ahead.",
        "Use a delivery time within 40 days.",
    ),
    _refusal(
        "TXN-016 LEASE_LOST FAILED_PRECONDITION",
        "The lease had ended; the messages were or will be delivered again.",
        "Drop these messages; extend the lease in time when handling takes long.",
    ),
    _refusal(
        "TXN-017 TOPIC_EXISTS ALREADY_EXISTS",
        "A topic of this name exists with another number of queues.",
        "Use it as it is, choose another name, or delete it first.",
    ),
    _refusal(
        "TXN-018 TOPIC_DELETING FAILED_PRECONDITION",
        "The topic is being deleted.",
        "Wait until it is gone from `tallymq topic list`, then make it again.",
        retryable=True,
    ),
    _refusal(
        "TXN-019 TOPIC_IN_DOUBT FAILED_PRECONDITION",
        "The topic holds transactions in doubt, so it was not deleted.",
        "Wait for their checks or decide them: `tallymq transaction list --in-doubt`.",
    ),
    _refusal(
        "TXN-020 NOT_METADATA_SHARD INTERNAL",
        "A command about topics or groups reached a shard that does not keep them.",
        "This is an error in TallyMQ; please report it with the server's log.",
    ),
    _refusal(
        "TXN-021 METADATA_BEHIND UNAVAILABLE",
        "The node that asked knew less about the topics than the shard already follows.",
        "Nothing: the node asks again once it has caught up.",
        retryable=True,
    ),
)

_WIRE = (
    _refusal(
        "PROTO-001 MALFORMED_REQUEST INVALID_ARGUMENT",
        "The request is not an encoded message of this call.",
        "Generate the client from the proto files of this server's version.",
    ),
    _refusal(
        "PROTO-002 REPEATED_FIELD INVALID_ARGUMENT",
        "A field that may stand once stands twice in the request.",
        "Encode each singular field once.",
    ),
    _refusal(
        "PROTO-003 MISSING_FIELD INVALID_ARGUMENT",
        "A required field is missing or empty.",
        "Set the field that the message names.",
    ),
    _refusal(
        "PROTO-004 ILLEGAL_NAME INVALID_ARGUMENT",
        "A name is not 1 to 255 bytes of letters, digits, dot, underscore and hyphen, with at most one slash inside.",
        "Use a name such as `transfers` or `tenant/transfers`.",
    ),
    _refusal(
        "PROTO-005 OUT_OF_RANGE INVALID_ARGUMENT",
        "A number is outside its documented limits.",
        "Use a number within the limits that the message gives.",
    ),
    _refusal(
        "PROTO-006 WRONG_BATCH_COUNT INVALID_ARGUMENT",
        "A frame has no batch or more than 256.",
        "Send 1 to 256 batches in a frame.",
    ),
    _refusal(
        "PROTO-007 SEVERAL_SHARDS INVALID_ARGUMENT",
        "The parts of one request belong to different shards.",
        "Send one request per shard; the route tells the shard of each queue.",
    ),
    _refusal(
        "PROTO-008 MALFORMED_BATCH INVALID_ARGUMENT",
        "The bytes of a batch are not an encoded RecordBatch.",
        "Encode the batch as `repeated Record records = 1`.",
    ),
    _refusal(
        "PROTO-009 WRONG_RECORD_COUNT INVALID_ARGUMENT",
        "A batch has no record, more than 16,384, or another number than its header states.",
        "Send 1 to 16,384 records and one record_lengths item for each.",
    ),
    _refusal(
        "PROTO-010 WRONG_RECORD_LENGTHS INVALID_ARGUMENT",
        "The record lengths in a batch header are not those of its records.",
        "State the encoded size of each record, in order, without its tag and length prefix.",
    ),
    _refusal(
        "PROTO-011 BATCH_TOO_LARGE INVALID_ARGUMENT",
        "The encoded records of a batch, or of a frame, are larger than 4,128,768 bytes.",
        "Send fewer records at once; keep large payloads elsewhere and send a reference.",
    ),
    _refusal(
        "PROTO-012 KEY_TOO_LONG INVALID_ARGUMENT",
        "A routing key is longer than 1,024 bytes.",
        "Use a shorter key, for example a hash of it.",
    ),
    _refusal(
        "PROTO-013 TAG_TOO_LONG INVALID_ARGUMENT",
        "A tag is longer than 255 bytes.",
        "Use a shorter tag.",
    ),
    _refusal(
        "PROTO-014 ILLEGAL_SEARCH_KEYS INVALID_ARGUMENT",
        "A record has more than 16 search keys, or one that is not 1 to 255 bytes.",
        "Use at most 16 search keys of 1 to 255 bytes.",
    ),
    _refusal(
        "PROTO-015 TOO_MANY_HEADERS INVALID_ARGUMENT",
        "A record has more than 128 headers.",
        "Use at most 128 headers.",
    ),
    _refusal(
        "PROTO-016 ILLEGAL_HEADER_NAME INVALID_ARGUMENT",
        "A header's name is not 1 to 255 bytes.",
        "Use header names of 1 to 255 bytes.",
    ),
    _refusal(
        "PROTO-017 HEADERS_TOO_LARGE INVALID_ARGUMENT",
        "The headers of a record are larger than 32 KiB together.",
        "Put large values into the body.",
    ),
    _refusal(
        "PROTO-018 ILLEGAL_RECORD INVALID_ARGUMENT",
        "A record's priority, born time or compression is outside its limits, or plain_bytes is missing.",
        "Use priority 0 to 9, a compression this version knows, and state plain_bytes with compression.",
    ),
    _refusal(
        "PROTO-019 WRONG_DELIVERY_TIMES INVALID_ARGUMENT",
        "A batch header states delivery times, but not one for each record, or one below 0.",
        "Leave delivery_times_ms empty or give one for each record.",
    ),
    _refusal(
        "PROTO-020 TOO_MANY_ITEMS INVALID_ARGUMENT",
        "A list in the request is empty or longer than allowed.",
        "Split the request; the message gives the limit.",
    ),
    _refusal(
        "PROTO-021 TEXT_TOO_LONG INVALID_ARGUMENT",
        "A text in the request is longer than allowed.",
        "Shorten it; the message gives the limit.",
    ),
    _refusal(
        "PROTO-022 ILLEGAL_ID INVALID_ARGUMENT",
        "A message or transaction id is not 16 bytes.",
        "Use the id as the client gave it: 32 hexadecimal digits on the command line, 16 bytes on the wire.",
    ),
    _refusal(
        "PROTO-023 STREAM_OUT_OF_ORDER INVALID_ARGUMENT",
        "The first message of the stream is not the one that opens it, or that one came again.",
        "Open a session with hello and a subscription with start, once each.",
    ),
    _refusal(
        "PROTO-024 UNKNOWN_CHECK INVALID_ARGUMENT",
        "The answer is for a check that is not open on this session, or has bits that were not asked about.",
        "Answer each check once, on the session it came on, with the bits it asked about.",
    ),
)

_MEMORY = (
    _refusal(
        "RAFTLOG-001 NOT_LEADER UNAVAILABLE",
        "This node does not lead the shard.",
        "Send it to the leader, whose address is given where it is known; otherwise try again shortly.",
        retryable=True,
    ),
    _refusal(
        "RAFTLOG-002 OVERLOADED RESOURCE_EXHAUSTED",
        "More is waiting to be stored than this node accepts.",
        "Wait a moment and send it again; send less at once.",
        retryable=True,
    ),
    _refusal(
        "RAFTLOG-003 OUTCOME_UNKNOWN UNAVAILABLE",
        "Leadership was lost before it was known whether the request was stored: it may have happened.",
        "Send the very same request again: it is recognised and done once.",
        definite=False,
        retryable=True,
    ),
    _refusal(
        "RAFTLOG-004 SHARD_STOPPED UNAVAILABLE",
        "The shard does not serve on this node.",
        "See `tallymq cluster status` for the reason; another node may lead it soon.",
        retryable=True,
    ),
    _refusal(
        "RAFTLOG-005 DISK_FULL RESOURCE_EXHAUSTED",
        "The node's disk is full; it refuses writes and goes on reading.",
        "Free space on the node's disk; writes are accepted again by themselves.",
        retryable=True,
    ),
    _refusal(
        "RAFTLOG-006 BODY_DAMAGED DATA_LOSS",
        "Stored bytes failed their checksum and were not served.",
        "Look at the server's log; try another node.",
        retryable=True,
    ),
)

_FACE = (
    _refusal(
        "SERVICE-001 UNKNOWN_TRANSACTION NOT_FOUND",
        "This node knows no transaction of this id.",
        "It may have been decided and forgotten since, or lives on a shard that another node holds.",
    ),
    _refusal(
        "SERVICE-002 UNKNOWN_MESSAGE NOT_FOUND",
        "This node knows no message of this id.",
        "It may have been retained no longer; compare the id.",
    ),
    _refusal(
        "SERVICE-003 SHUTTING_DOWN UNAVAILABLE",
        "The node is shutting down and takes nothing new.",
        "Send it to another node, or again when this one is back.",
        retryable=True,
    ),
    _refusal(
        "SERVICE-004 TIMED_OUT DEADLINE_EXCEEDED",
        "The call's time was over before the outcome was known: it may have happened.",
        "Send the very same request again: it is recognised and done once.",
        definite=False,
        retryable=True,
    ),
    _refusal(
        "SERVICE-005 INTERNAL_ERROR INTERNAL",
        "The server failed in a way it should not have: it may have happened.",
        "Please report it with the server's log.",
        definite=False,
    ),
    _refusal(
        "SERVICE-006 TOPIC_NOT_READY UNAVAILABLE",
        "The topic exists, but its queue is not yet made on its shard.",
        "Try again in a moment.",
        retryable=True,
    ),
    _refusal(
        "SERVICE-007 TOO_MANY_STREAMS RESOURCE_EXHAUSTED",
        "More sessions or subscriptions are open on this node than it accepts.",
        "Share one client within a process; raise the node's setting if this is meant.",
        retryable=True,
    ),
    _refusal(
        "SERVICE-008 CREDIT_TOO_LARGE INVALID_ARGUMENT",
        "More than 1,000,000 records or 1 GiB of credit is outstanding.",
        "Grant credit for what the consumer can hold.",
    ),
    _refusal(
        "SERVICE-009 CERTIFICATE_REQUIRED UNAUTHENTICATED",
        "The client's certificate has no common name by which to know it.",
        "Use a certificate made by `tallymq certs`.",
    ),
    _refusal(
        "SERVICE-010 UNKNOWN_NODE NOT_FOUND",
        "The cluster has no node of this name.",
        "See `tallymq node list` for the names.",
    ),
    _refusal(
        "SERVICE-011 UNKNOWN_SHARD NOT_FOUND",
        "The cluster has no shard of this number.",
        "See `tallymq shard list` for the numbers; they begin with 0.",
    ),
)

REFUSALS: tuple[Refusal, ...] = _RULES + _WIRE + _MEMORY + _FACE
"""All of them, by room and number."""

BY_NAME: dict[str, Refusal] = {refusal.name: refusal for refusal in REFUSALS}
"""By name, as in `google.rpc.ErrorInfo.reason` and `Refusal.name` on the wire."""

BY_CODE: dict[str, Refusal] = {refusal.code: refusal for refusal in REFUSALS}
"""By code, as people quote it."""
