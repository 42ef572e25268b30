#!/bin/sh
# Says where the hub's processor time goes in rows of the benchmark: make profile [ROWS=<pattern>] [TIME=10s]
# [BROKERS='hub|hub@REV'], one table for each row, with a column for this hub and one for each of other commits. These
# hubs have a file more than the product, test/bench/testdata/profile.go.txt, which writes the profile.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
dir=$PWD/output/cache/profile
rm -rf "$dir"
mkdir -p "$dir"
build_hub() {
	printf '{"Replace": {"%s/baetyl-hub/profile.go": "%s"}}' "$PWD" "$more" >"$dir/overlay"
	CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags -w -overlay "$dir/overlay" -o "$1" ./baetyl-hub
}
more=$PWD/test/bench/testdata/profile.go.txt
step 'building the hub and the load generator'
build_hub "$dir/baetyl-hub"
for revision in $(printf %s "${BROKERS:-}" | tr '|' '\n' | sed -n 's/^\(baetyl-\)\{0,1\}hub@//p'); do
	step "building the hub of $revision"
	tree=$dir/worktree
	git worktree add --quiet --detach "$tree" "$revision"
	(cd "$tree" && build_hub "$dir/baetyl-hub@$revision")
	git worktree remove --force "$tree"
done
go build -o "$dir/bench" ./test/bench
rows=${ROWS:-QoS 1, window 20, 64 B|QoS 1, window 500|50 → 50}
exec "$dir/bench" -profile -cache "$dir" -rows "$rows" -time "${TIME:-10s}"
