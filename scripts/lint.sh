#!/bin/sh
# gofmt, go vet (also of the end-to-end tests), golangci-lint at the version of tools/go.mod and, where it is
# installed, shellcheck.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
unformatted=$(find . -name '*.go' -not -path './output/*' -not -path './.build/*' -not -path '*/node_modules/*' \
	-exec gofmt -l {} +)
if [ -n "$unformatted" ]; then
	printf 'gofmt is needed:\n%s\n' "$unformatted"
	exit 1
fi
go vet -tags e2e,vm,packages,docs ./...
mkdir -p output/cache
if (cd tools && go build -o ../output/cache/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint); then
	output/cache/golangci-lint run --allow-parallel-runners ./...
else
	[ "${CI:-}" != true ] || exit 1
	note 'golangci-lint could not be fetched: its checks are skipped'
fi
if command -v shellcheck >/dev/null 2>&1; then
	# The scripts of packages are parts: packaging/common.sh stands in front of each.
	for part in packaging/deb/*/* packaging/rpm/*/*; do cat packaging/common.sh "$part" | shellcheck -; done
	shellcheck -x scripts/*.sh packaging/*.sh test/vm/*.sh .ci/run
fi
