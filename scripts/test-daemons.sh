#!/bin/sh
# test-daemons.sh DAEMON…: the tests of the docker engine on daemons, each in its own network: dockerd (that of the
# machine), newest (scripts/dockerd-newest.sh), podman (its docker socket), or the path of a program.
#
#   RUN   a pattern of tests, as for go test -run
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
code=0
ci=${CI:-}
for daemon in "$@"; do
	without='^$' packages='./internal/dockertest ./master/engine/docker' required=
	case $daemon in
	newest) program=$(scripts/dockerd-newest.sh) ;;
	podman)
		want 'podman' 'podman netavark aardvark-dns' 'its docker socket is not tested' command -v podman || exit 1
		program=podman
		packages=./master/engine/docker
		# What podman cannot, or does otherwise: docs/master.md, "Podman".
		without='^(TestMemoryEatingChildIsKilled' # it notes no OOM
		without="$without|TestContainerKeys|TestHardened" # ranges of ports; reports of cap_drop
		without="$without|TestStopSignalOfTheImage" # its commit has no STOPSIGNAL
		without="$without|TestEndOfTheDaemonIsNoneOfTheService" # its containers outlive it
		without="$without|TestDaemonKilledWithoutLiveRestore" # the same
		without="$without|TestOutputOfWhatEndsAtOnce" # it drops output beyond max-size
		without="$without|TestLeftoverThatCannotBeRemoved" # it forgets such a container
		without="$without|TestInstanceThatCannotBeRemoved|TestEndWithWhatCannotBeRemoved" # the same
		without="$without|TestUpdateIsPutRight" # update of a container
		without="$without|TestRestartedByOthers" # not each stop is an event
		without="$without|TestPruneBetweenLives)\$" # prune of images, in the test itself
		;;
	*) program=$daemon required=$ci ;;
	esac
	step "the docker engine on $program"
	export BAETYL_DOCKERD="$program" CI="$required" # in CI a part that is missing fails, which another daemon may lack
	# shellcheck disable=SC2086
	go test -count=1 -timeout 30m -run "${RUN:-.}" -skip "$without" $packages || code=1
done
exit $code
