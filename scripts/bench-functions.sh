#!/bin/sh
# Measures functions beside plain scripts that do the same: make bench-functions [TIME=3s]. It installs into output/bench-site.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
scripts/setup-test.sh
site=output/bench-site
"${MAKE:-make}" --no-print-directory install-native PREFIX="$site"
step 'building the load generator'
mkdir -p output/cache/bench
go build -o output/cache/bench/bench ./test/bench
exec output/cache/bench/bench -functions "$site" -time "${TIME:-3s}"
