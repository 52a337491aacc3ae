"""Opening and closing what a node has on its disk; blocking, called in a thread."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass

from tallymq.raftlog.data_directory import DataDirectory
from tallymq.raftlog.disk import Disk, RealDisk
from tallymq.raftlog.errors import RaftLogError
from tallymq.raftlog.log import LogSettings, NodeLog
from tallymq.raftlog.rocks import RocksStore
from tallymq.raftlog.settings import HostSettings
from tallymq.raftlog.state_format import bring_up_to_date
from tallymq.raftlog.store import Store

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a node holds open."""

    directory: DataDirectory
    disk: Disk
    store: Store
    log: NodeLog


def open_node(settings: HostSettings) -> Opened:
    """Lock the data directory, open the store, recover the log. What fails leaves nothing open."""
    directory = DataDirectory(
        settings.data_directory,
        node=settings.node,
        cluster=settings.cluster,
        shard_count=settings.shard_count,
        free_bytes_min=settings.free_bytes_min,
    )
    store: Store | None = None
    try:
        store = RocksStore(directory.state_folder, create=directory.is_new)
        bring_up_to_date(store)
        disk = RealDisk(directory.log_folder)
        log_settings = LogSettings(segment_bytes=settings.segment_bytes, draw_salt=lambda: secrets.randbits(64))
        log = NodeLog.open(disk, store, log_settings)
        if directory.is_new:
            directory.mark_set_up()
    except BaseException:
        if store is not None:
            store.close()
        directory.close()
        raise
    return Opened(directory, disk, store, log)


def close(opened: Opened) -> None:
    """Close everything. The log, unless it failed, also notes that all of it is synced."""
    for part in (opened.log.close, opened.store.close):
        try:
            part()
        except (RaftLogError, OSError) as error:
            LOG.warning("while closing: %s", error)
    opened.directory.close()
