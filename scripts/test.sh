#!/bin/sh
# The tests in three sizes: test.sh everyday | ci | all. Every stage prints its time, the first failure ends it.
#
# What runs every day finds the same each time: it searches nothing at random. A random search (fuzz tests) would
# refuse a change for a fault that was there before it, so it belongs to `all`; the seeds of the fuzz tests are unit
# tests.
set -eu
size=${1:?everyday, ci or all}
cd "$(dirname "$0")/.."
. scripts/lib.sh
export PATH="$PATH:/usr/sbin:/sbin" # where Debian has mosquitto
summary=''
started=$(date +%s)

# stage NAME COMMAND…
stage() {
	name=$1
	shift
	step "$name"
	stage_started=$(date +%s)
	code=0
	"$@" || code=$?
	summary="$summary$(printf '%6d s  %s' $(($(date +%s) - stage_started)) "$name")
"
	if [ "$code" != 0 ]; then
		printf '%s' "$summary"
		note "$name: failed with exit code $code"
		exit 1
	fi
}

unit() {
	# Most packages wait for processes, containers and deadlines: some side by side keep two cores busy. Those that take
	# longest begin first, so that none of them is left alone at the end.
	long='master/engine/native master/engine/docker baetyl-function-python cmd keeper master/update'
	module=$(go list -m)
	first=''
	for package in $long; do first="$first $module/$package"; done
	# shellcheck disable=SC2046,SC2086
	CGO_ENABLED=1 go test -race -p 4 -timeout 15m ${GOTESTFLAG:-} $first $(go list ./... | grep -v /test/e2e)
}

case $size in
everyday) ;;
ci | all)
	# A result that may be used again keeps the name of each file that the test opens, gigabytes here, and reads them all.
	GOTESTFLAG="-count=1 ${GOTESTFLAG:-}"
	;;
*)
	echo 'usage: test.sh everyday | ci | all' >&2
	exit 2
	;;
esac
[ "$size" != all ] || export UPDATE_FAULTS=1 HUB_FAULTS=1 AGENT_FAULTS=1 BAETYL_TEST_ALL=1 ROLLOUT_ALL=1
stage 'set-up' scripts/setup-test.sh
if ! docker version >/dev/null 2>&1 && DOCKER_HOST=$(scripts/dockerd.sh start); then
	step "a docker daemon for the tests is at $DOCKER_HOST"
	export DOCKER_HOST
	trap 'scripts/dockerd.sh stop' EXIT
fi
stage 'lint (gofmt, vet, shellcheck, golangci-lint)' scripts/lint.sh
stage 'unit, golden and architecture tests, with -race' unit
stage 'the suite of gomqtt for brokers' go test -timeout 30m -run TestSpec ./baetyl-hub/hub
stage 'faults of the disk under the hub, without -race' go test -timeout 30m -run TestFaults ./baetyl-hub/store
stage 'end to end' "${MAKE:-make}" --no-print-directory e2e
stage 'end to end, in containers' "${MAKE:-make}" --no-print-directory e2e MODE=docker
if [ "$size" = all ]; then
	stage 'packages and the install script' "${MAKE:-make}" --no-print-directory test-packages
else
	stage 'packages, in short' "${MAKE:-make}" --no-print-directory test-packages SHORT=1
fi
if [ "$size" = ci ]; then
	stage 'unit tests on 386, in short' env SHORT=1 scripts/test-386.sh
	stage 'a real machine, in short' "${MAKE:-make}" --no-print-directory test-vm SHORT=1
	stage 'a hostile client, in short' "${MAKE:-make}" --no-print-directory hostile TIME=15s
	stage 'half a minute of disorder' "${MAKE:-make}" --no-print-directory disorder TIME=30s SEED=1
fi
if [ "$size" = all ]; then
	stage 'unit tests on 386, vet on arm' scripts/test-386.sh
	stage 'ten minutes of disorder' "${MAKE:-make}" --no-print-directory disorder TIME=10m
	stage 'unit tests on emulated processors' scripts/test-emulated.sh
	stage 'what the documents say' "${MAKE:-make}" --no-print-directory test-docs
	stage 'the docker engine on other daemons' "${MAKE:-make}" --no-print-directory test-daemons
	stage 'a real machine' "${MAKE:-make}" --no-print-directory test-vm
	stage 'an hour of a hostile client' "${MAKE:-make}" --no-print-directory hostile
	stage 'an hour of load' "${MAKE:-make}" --no-print-directory soak
	stage 'fuzz tests, a minute each' scripts/fuzz.sh 60s
	stage 'the hub from 10,000 seeds' "${MAKE:-make}" --no-print-directory sim SEEDS=10000
	stage 'bugs that the seeds must find' "${MAKE:-make}" --no-print-directory sim-bugs
	for target in crash remote-crash outage function-crash agent-crash disk-full slow-reader; do
		stage "make $target" "${MAKE:-make}" --no-print-directory "$target"
	done
fi
printf '%s' "$summary"
printf '%6d s  in all\n' $(($(date +%s) - started))
