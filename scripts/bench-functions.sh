#!/bin/sh
# Measures functions beside plain scripts that do the same: make bench-functions [TIME=3s] [MODE=docker]. It installs
# into output/bench-site, or output/bench-docker.
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
step 'building the load generator'
mkdir -p output/cache/bench
go build -o output/cache/bench/bench ./test/bench
exec output/cache/bench/bench -functions "$site" -images "$images" -time "${TIME:-3s}"
