#!/bin/sh
# gofmt, go vet (also of the end-to-end tests) and, where it is installed, shellcheck.
set -eu
cd "$(dirname "$0")/.."
unformatted=$(find . -name '*.go' -not -path './output/*' -not -path './.build/*' -not -path '*/node_modules/*' -exec gofmt -l {} +)
if [ -n "$unformatted" ]; then
	printf 'gofmt is needed:\n%s\n' "$unformatted"
	exit 1
fi
go vet -tags e2e ./...
if command -v shellcheck >/dev/null 2>&1; then
	shellcheck -x scripts/*.sh .ci/run
fi
