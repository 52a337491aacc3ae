"""How a message is shown: the same shape for `message get` and `message tail`."""

from __future__ import annotations

import base64

from tallymq._records import message_id
from tallymq.cli.printer import Item
from tallymq.cli.values import plain_text, time_text
from tallymq.proto import messaging_pb2 as messaging

_COMPRESSIONS = {
    messaging.COMPRESSION_NONE: "none",
    messaging.COMPRESSION_ZSTD: "zstd",
    messaging.COMPRESSION_LZ4: "lz4",
}


def bytes_text(content: bytes) -> str | None:
    """Return the bytes as text, or None where they are not UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def record_item(record: messaging.Record) -> Item:
    """Return a record as `-o json` prints it: bytes in base64, and as text too where they are UTF-8."""
    plain = record.compression == messaging.COMPRESSION_NONE
    return {
        "key": bytes_text(record.key),
        "key_base64": base64.b64encode(record.key).decode("ascii"),
        "tag": record.tag,
        "search_keys": list(record.keys),
        "headers": [
            {
                "name": header.name,
                "value": bytes_text(header.value),
                "value_base64": base64.b64encode(header.value).decode("ascii"),
            }
            for header in record.headers
        ],
        "priority": record.priority,
        "born_time": time_text(record.born_time_ms),
        "compression": _COMPRESSIONS.get(record.compression, "unknown"),
        "plain_bytes": record.plain_bytes if not plain else len(record.body),
        "body": bytes_text(record.body) if plain else None,
        "body_base64": base64.b64encode(record.body).decode("ascii"),
    }


def delivery_items(delivery: messaging.Delivery) -> list[Item]:
    """Return the messages of a delivery as `-o json` prints them, in order."""
    items: list[Item] = []
    for place, record in enumerate(delivery.records.records):
        position = delivery.positions[place] if delivery.positions else delivery.first_position + place
        items.append(
            {
                "message_id": message_id(delivery.instance, delivery.sequence, position),
                "topic": delivery.topic,
                "queue": delivery.queue,
                "offset": delivery.first_offset + place,
                "visible_time": time_text(delivery.visible_time_ms),
                **record_item(record),
            }
        )
    return items


def show_body(item: Item) -> str:
    """Return the body for people: the text, or how many bytes it is where it is not text."""
    body = item["body"]
    if isinstance(body, str):
        return plain_text(body)
    size = len(base64.b64decode(str(item["body_base64"])))
    kind = "not text" if item["compression"] == "none" else f"compressed with {item['compression']}"
    return f"<{size} bytes, {kind}>"


def show_headers(value: object) -> str:
    """Return headers for people, as the command line takes them."""
    if not isinstance(value, list) or not value:
        return "-"
    parts = (f"{header['name']}={'<not text>' if header['value'] is None else header['value']}" for header in value)
    return plain_text(", ".join(parts))
