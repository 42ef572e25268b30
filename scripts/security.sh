#!/bin/sh
# security.sh: looks at every official service while it runs, and writes the tables of docs/security.md. Native mode
# always; docker mode where a daemon answers and has the images of IMAGE_PREFIX (make image IMAGE_PREFIX=…). With
# CHECK=1 it writes nothing, and fails when the document says something else. Needs root.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
if [ "$(id -u)" != 0 ]; then
	echo 'security.sh: needs root: services have users of their own only then' >&2
	exit 1
fi
make=${MAKE:-make}
prefix=${IMAGE_PREFIX:-}
mkdir -p output
dir=$(mktemp -d output/security-XXXXXX)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"

$make --no-print-directory install-native PREFIX="$dir/native"
set -- -native "$dir/native"
if docker image inspect "${prefix}baetyl-agent" >/dev/null 2>&1; then
	$make --no-print-directory install PREFIX="$dir/docker"
	set -- "$@" -docker "$dir/docker" -images "$prefix"
else
	note "docker mode is left out: no daemon answers, or it has no image ${prefix}baetyl-agent (make image)"
fi
step 'looking at services while they run'
go build -o "$dir/security" ./test/security
"$dir/security" ${CHECK:+-check} "$@"
