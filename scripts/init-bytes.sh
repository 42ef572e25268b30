#!/bin/sh
# What starting each program costs before main: bytes that package initialisers allocate, and the binary's size.
# init-bytes.sh [PROGRAM…]: built as make builds them; default all. A table in Markdown, for docs/benchmarks.md.
set -eu
cd "$(dirname "$0")/.."
: "${GO:=go}" "${TAGS:=}" "${LDFLAGS:=-s -w}"
if [ $# = 0 ]; then
	set -- baetyl
	for main in baetyl-*/main.go; do set -- "$@" "${main%/main.go}"; done
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Each ends at once: a module at a key that it does not know, the master at a command that it does not know.
mkdir -p "$work/etc/baetyl"
echo 'none: 1' >"$work/etc/baetyl/service.yml"

printf '| Program | binary, MB | init, bytes | of these, most in one package |\n|---|---|---|---|\n'
for program; do
	package=./$program
	[ "$program" != baetyl ] || package=.
	CGO_ENABLED=0 "$GO" build -buildvcs=false -trimpath -tags "$TAGS" -ldflags "$LDFLAGS" -o "$work/$program" "$package"
	arguments=
	[ "$program" != baetyl ] || arguments=none
	# shellcheck disable=SC2086
	(cd "$work" && GODEBUG=inittrace=1 "./$program" $arguments) >"$work/trace" 2>&1 </dev/null || true
	# init PACKAGE @START ms, TIME ms clock, BYTES bytes, N allocs
	awk -v program="$program" -v size="$(wc -c <"$work/$program")" '
		$1 == "init" && $9 == "bytes," { bytes += $8; if ($8 > most) { most = $8; name = $2 } }
		END {
			if (!bytes) { print program ": no trace" >"/dev/stderr"; exit 1 }
			printf "| %s | %.1f | %d | %d, %s |\n", program, size / 1e6, bytes, most, name
		}' "$work/trace"
done
