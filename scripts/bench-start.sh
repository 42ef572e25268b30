#!/bin/sh
# Measures the start of the native example beside that of another commit: make bench-start [REV=f7a1501] [ROUNDS=10].
# Both are installed below output/bench-start. The figure is the time from `baetyl start` until the hub listens; the
# memory is that of the first process: of the keeper, or of the master where there is none.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
rev=$(git rev-parse --short "${REV:-f7a1501}") # the last commit without a keeper
dir=$PWD/output/bench-start
mkdir -p "$dir"
make=${MAKE:-make}
step 'installing the example'
"$make" --no-print-directory install-native PREFIX="$dir/new"
step "installing the example of $rev"
tree=$dir/worktree
git worktree remove --force "$tree" 2>/dev/null || rm -rf "$tree"
git worktree prune
git worktree add --quiet --detach "$tree" "$rev"
(cd "$tree" && "$make" --no-print-directory install-native PREFIX="$dir/old")
git worktree remove --force "$tree"
mkdir -p output/cache/bench
go build -o output/cache/bench/bench ./test/bench
exec output/cache/bench/bench -starts "new=$dir/new $rev=$dir/old" -rounds "${ROUNDS:-10}"
