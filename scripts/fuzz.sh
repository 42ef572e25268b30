#!/bin/sh
# fuzz.sh DURATION: every fuzz target of the module for DURATION each (go fuzzes one at a time).
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
for package in $(go list ./...); do
	for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		step "$package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" "$package"
	done
done
