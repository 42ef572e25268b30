#!/bin/sh
# test-daemons.sh DAEMON…: the tests of the docker engine on daemons, each in its own network: dockerd (that of the
# machine), newest (scripts/dockerd-newest.sh), podman (its docker socket), or the path of a program.
#
#   RUN   a pattern of tests, as for go test -run
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
code=0
for daemon in "$@"; do
	pattern=${RUN:-.} packages='./internal/dockertest ./master/engine/docker'
	case $daemon in
	newest) program=$(scripts/dockerd-newest.sh) ;;
	podman)
		want 'podman' 'podman netavark aardvark-dns' 'its docker socket is not tested' command -v podman || exit 1
		program=podman
		packages=./master/engine/docker
		pattern=${RUN:-$(grep -v '^#' scripts/podman-works.txt | paste -s -d '|')}
		;;
	*) program=$daemon ;;
	esac
	step "the docker engine on $program"
	# shellcheck disable=SC2086
	BAETYL_DOCKERD=$program go test -count=1 -timeout 30m -run "$pattern" $packages || code=1
done
exit $code
