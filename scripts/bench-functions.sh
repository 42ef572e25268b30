#!/bin/sh
# Measures functions beside plain scripts that do the same, and SQL beside a stream engine: make bench-functions
# [ROWS=<pattern>] [ROUNDS=1] [TIME=3s] [MODE=docker]. It installs into output/bench-site, or output/bench-docker. The
# engine, Benthos, comes as a Go module into output/cache/bench; without it its column stays empty.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
scripts/setup-test.sh
images=
site=output/bench-site
if [ "${MODE:-native}" = docker ]; then
    # shellcheck disable=SC2046 # one word each
    export $(scripts/base-image.sh) IMAGE_PREFIX=baetyl-test/ BUILD_NETWORK=none
    site=output/bench-docker images=$IMAGE_PREFIX
    "${MAKE:-make}" --no-print-directory image
    "${MAKE:-make}" --no-print-directory install PREFIX="$site"
else
    "${MAKE:-make}" --no-print-directory install-native PREFIX="$site"
fi
dir=$PWD/output/cache/bench
mkdir -p "$dir"
benthos=v4.27.0
if [ "$(cat "$dir/stream.version" 2>/dev/null)" != "$benthos" ]; then
    step 'fetching benthos'
    rm -rf "$dir/stream.src"
    mkdir "$dir/stream.src"
    cp test/bench/testdata/stream.go.txt "$dir/stream.src/main.go"
    if (cd "$dir/stream.src" && export GOWORK=off && go mod init stream &&
        go get "github.com/benthosdev/benthos/v4@$benthos" &&
        go build -buildvcs=false -mod=mod -trimpath -o "$dir/stream" .); then
        echo "$benthos" >"$dir/stream.version"
    else
        note 'benthos could not be fetched: its column stays empty'
    fi
    rm -rf "$dir/stream.src"
fi
step 'building the load generator'
go build -o output/cache/bench/bench ./test/bench
exec output/cache/bench/bench -functions "$site" -images "$images" -cache "$dir" \
    -rows "${ROWS:-}" -rounds "${ROUNDS:-1}" -time "${TIME:-3s}"
