"""Where the queues of a topic are led, and the channels to their leaders."""

import asyncio

import grpc

from tallymq.proto import messaging_pb2

FRAME_BYTES_MAX = 16 << 20
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", FRAME_BYTES_MAX),
    ("grpc.max_send_message_length", FRAME_BYTES_MAX),
]
ROUTE_ATTEMPTS_MAX = 300
ROUTE_PAUSE_S = 0.1


def open_channel(address: str) -> grpc.aio.Channel:
    """A plain channel: the nodes of a benchmark listen on loopback."""
    return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)


async def find_leaders(address: str, topic: str) -> list[str]:
    """The address of the leader of each queue, by queue number. Waits until each has one; raises TimeoutError."""
    async with open_channel(address) as channel:
        call = channel.unary_unary(
            "/tallymq.v1.Messaging/Route",
            request_serializer=messaging_pb2.RouteRequest.SerializeToString,
            response_deserializer=messaging_pb2.RouteReply.FromString,
        )
        for _ in range(ROUTE_ATTEMPTS_MAX):
            reply = await call(messaging_pb2.RouteRequest(topics=[topic]), wait_for_ready=True, timeout=30)
            addresses = {node.node: node.client_address for node in reply.nodes}
            leaders = {shard.shard: addresses.get(shard.leader, "") for shard in reply.shards}
            if reply.topics:
                found = [leaders.get(shard, "") for shard in reply.topics[0].queue_shards]
                if all(found):
                    return found
            await asyncio.sleep(ROUTE_PAUSE_S)
    raise TimeoutError(f"no leader for each queue of {topic}")
