#!/bin/sh
# Generates the stubs of protocol/function/function.proto for Go, beside it. The runtimes for Python and JavaScript have
# codecs of their own: lib/baetyl_function/codec.py and lib/message.js.
#
#   usage: scripts/proto.sh [output directory]        default: the repository itself
#
# It installs the generators that it needs, pinned, under output/cache/proto and touches nothing global.
# Needs Go, python3 >= 3.9 with venv.
set -eu

GRPCIO_TOOLS=1.71.2      # brings protoc
PROTOC_GEN_GO_GRPC=v1.6.2

root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$root}
cache=$root/output/cache/proto-$GRPCIO_TOOLS-$PROTOC_GEN_GO_GRPC
bin=$cache/bin
export PIP_DISABLE_PIP_VERSION_CHECK=1

if [ ! -e "$cache/ready" ]; then
    echo "==> installing the generators into $cache"
    rm -rf "$cache"
    mkdir -p "$bin"
    python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install -q "grpcio-tools==$GRPCIO_TOOLS"
    (cd "$root" && GOBIN=$bin go install google.golang.org/protobuf/cmd/protoc-gen-go)  # the version of go.mod
    GOBIN=$bin go install "google.golang.org/grpc/cmd/protoc-gen-go-grpc@$PROTOC_GEN_GO_GRPC"
    touch "$cache/ready"
fi

go=$out/protocol/function
mkdir -p "$go"
cd "$root/protocol/function"
PATH=$bin:$PATH "$cache/venv/bin/python" -m grpc_tools.protoc -I. function.proto \
    --go_out="$go" --go_opt=paths=source_relative \
    --go-grpc_out="$go" --go-grpc_opt=paths=source_relative
