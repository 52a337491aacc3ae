#!/bin/sh
# Generates the Go package tallymqv1 from the public proto files; prints nothing. `generate.sh DIRECTORY` writes there.
#
# The proto files name no Go package: that is the client's business, and stands in the options below. Any protoc will
# do; grpcio-tools brings one (`pip install grpcio-tools`), and PYTHON says which Python has it. The two plug-ins are
# tools of go.mod, so their versions are pinned there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$here}
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
(cd "$here" && go build -o "$tools/" google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc)
options=module=example.com/tallymq
for name in messaging admin; do
    options="$options,Mtallymq/proto/$name.proto=example.com/tallymq/tallymqv1"
done
cd "$root"
"${PYTHON:-python3}" -P -m grpc_tools.protoc -Itallymq/proto=proto \
    --plugin="protoc-gen-go=$tools/protoc-gen-go" --go_out="$options:$out" \
    --plugin="protoc-gen-go-grpc=$tools/protoc-gen-go-grpc" --go-grpc_out="$options:$out" \
    proto/messaging.proto proto/admin.proto
