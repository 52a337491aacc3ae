"""The public schema with its comments, which generated code does not carry."""

import functools
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def public_schema() -> dict[str, FileDescriptorProto]:
    """Each public file, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "schema.bin"
        arguments = ["-Itallymq/proto=proto", "--include_source_info", f"--descriptor_set_out={path}",
                     "proto/messaging.proto", "proto/admin.proto"]  # fmt: skip
        command = [sys.executable, "-P", "-m", "grpc_tools.protoc", *arguments]
        subprocess.run(command, cwd=ROOT, check=True, timeout=120, stdin=subprocess.DEVNULL)
        return {file.name: file for file in FileDescriptorSet.FromString(path.read_bytes()).file}


def comments_of(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    """The comment above each thing of a file, by where protoc keeps it."""
    return {tuple(at.path): at.leading_comments.strip() for at in file.source_code_info.location}
