"""Celery through files: messages, control and results lie in the folder CELERY_FOLDER."""

import os
from pathlib import Path

_folder = Path(os.environ["CELERY_FOLDER"])
broker_url = "filesystem://"
broker_transport_options = {
    "data_folder_in": str(_folder / "tasks"),
    "data_folder_out": str(_folder / "tasks"),
    "control_folder": str(_folder / "control"),
}
result_backend = (_folder / "results").as_uri()
accept_content = ["json"]
worker_hijack_root_logger = False
