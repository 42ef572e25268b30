#!/bin/sh
# Measures baetyl-hub beside other brokers in one run: make bench-hub [ROWS=<pattern>] [BROKERS=<pattern>].
# The peers come from apt (mosquitto) and the Go module proxy (nats-server, mochi-mqtt), into output/cache/bench.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
dir=$PWD/output/cache/bench
mkdir -p "$dir"
want mosquitto mosquitto 'its columns stay empty' sh -c 'PATH=$PATH:/usr/sbin command -v mosquitto' || true
[ -x "$dir/nats-server" ] || { step 'fetching nats-server'; GOBIN=$dir go install github.com/nats-io/nats-server/v2@latest || true; }
[ -x "$dir/mochi" ] || { step 'fetching mochi-mqtt'; GOBIN=$dir go install github.com/mochi-mqtt/server/v2/cmd@latest && mv "$dir/cmd" "$dir/mochi" || true; }
step 'building the hub and the load generator'
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$dir/baetyl-hub" ./baetyl-hub
go build -o "$dir/bench" ./test/bench
PATH=$PATH:/usr/sbin exec "$dir/bench" -cache "$dir" -rows "${ROWS:-}" -brokers "${BROKERS:-}" -time "${TIME:-3s}"
