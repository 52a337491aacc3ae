"""Streams that begin wrongly, each with the name of the refusal that ends it."""

from __future__ import annotations

from google.protobuf.message import Message

from tallymq.proto import messaging_pb2

M = messaging_pb2
LONG = "n" * 256

STREAMS: list[tuple[str, str, list[Message | bytes]]] = [
    ("Session", "STREAM_OUT_OF_ORDER", [M.SessionRequest(answer=M.CheckAnswer(check=1))]),
    ("Session", "MALFORMED_REQUEST", [b"\x0a"]),
    ("Session", "MISSING_FIELD", [M.SessionRequest(hello=M.SessionHello(instance=1))]),
    ("Session", "ILLEGAL_NAME", [M.SessionRequest(hello=M.SessionHello(producer_group="a b", instance=1))]),
    ("Session", "MISSING_FIELD", [M.SessionRequest(hello=M.SessionHello(producer_group="g"))]),
    (
        "Session",
        "TEXT_TOO_LONG",
        [M.SessionRequest(hello=M.SessionHello(producer_group="g", instance=1, client=LONG))],
    ),
    (
        "Session",
        "UNKNOWN_CHECK",
        [
            M.SessionRequest(hello=M.SessionHello(producer_group="g", instance=1)),
            M.SessionRequest(answer=M.CheckAnswer(check=1)),
        ],
    ),
    ("Session", "STREAM_OUT_OF_ORDER", [M.SessionRequest(hello=M.SessionHello(producer_group="g", instance=1))] * 2),
    ("Subscribe", "STREAM_OUT_OF_ORDER", [M.SubscribeRequest(credit=M.Credit(records=1))]),
    ("Subscribe", "MISSING_FIELD", [M.SubscribeRequest(start=M.SubscribeStart(topic="transfers", consumer=1))]),
    (
        "Subscribe",
        "UNKNOWN_TOPIC",
        [M.SubscribeRequest(start=M.SubscribeStart(consumer_group="strangers", topic="nowhere", consumer=1))],
    ),
    (
        "Subscribe",
        "OUT_OF_RANGE",
        [
            M.SubscribeRequest(
                start=M.SubscribeStart(
                    consumer_group="strangers", topic="transfers", consumer=1, delivery_records_max=16_385
                )
            )
        ],
    ),
]
