"""Consumer groups are made when first seen: in the metadata shard where this node leads it, and where they are used.

The metadata shard holds the true copy. A consumer opens a stream to every node, so the node that leads the metadata
shard sees every group at its first subscription; a group first seen by a fetch elsewhere gets default settings on the
shard that needs it, and is adopted by the metadata shard when its leader next compares (`reconcile.py`).
"""

from __future__ import annotations

from tallymq.service.cluster import Cluster, Shard
from tallymq.txn import queries
from tallymq.txn.answers import GroupInfo
from tallymq.txn.commands import PutGroup

ATTEMPTS_MAX_DEFAULT = 16
LEASE_MS_DEFAULT = 30_000
BACKOFF_MS_MIN_DEFAULT = 1_000
BACKOFF_MS_MAX_DEFAULT = 300_000


def default_group(name: str) -> PutGroup:
    """Return the command that makes a group with default settings, unless it is there by the time of the command."""
    return PutGroup(
        name, ATTEMPTS_MAX_DEFAULT, LEASE_MS_DEFAULT, BACKOFF_MS_MIN_DEFAULT, BACKOFF_MS_MAX_DEFAULT, new_only=True
    )


def put_group(info: GroupInfo, *, new_only: bool = False) -> PutGroup:
    """Return the command that gives a shard the settings of `info`; `new_only`: unless it has the group already."""
    return PutGroup(info.name, info.attempts_max, info.lease_ms, info.backoff_ms_min, info.backoff_ms_max, new_only)


async def ensure_true_copy(cluster: Cluster, name: str) -> None:
    """Make the group in the metadata shard if it is new and this node leads that shard; raises Refused."""
    metadata = cluster.metadata
    if metadata.is_leader and queries.group(metadata.view, name) is None:
        await cluster.require(metadata, default_group(name))


async def ensure_on_shard(cluster: Cluster, shard: Shard, name: str) -> None:
    """Make the group on a shard that does not know it, with the settings of the true copy; raises Refused."""
    await ensure_true_copy(cluster, name)
    if queries.group(shard.view, name) is None:
        known = queries.group(cluster.metadata.view, name)
        await cluster.require(shard, default_group(name) if known is None else put_group(known, new_only=True))
