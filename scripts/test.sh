#!/bin/sh
# The whole test: every stage with its time, the first failure ends it.
set -eu
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
	# Most packages wait for processes, containers and deadlines: four side by side keep two cores busy.
	# shellcheck disable=SC2046,SC2086
	CGO_ENABLED=1 go test -race -p 4 ${GOTESTFLAG:-} $(go list ./... | grep -v /test/e2e)
}

stage 'set-up' scripts/setup-test.sh
if ! docker version >/dev/null 2>&1 && DOCKER_HOST=$(scripts/dockerd.sh start); then
	step "a docker daemon for the tests is at $DOCKER_HOST"
	export DOCKER_HOST
	trap 'scripts/dockerd.sh stop' EXIT
fi
stage 'lint (gofmt, vet, shellcheck)' scripts/lint.sh
stage 'unit, golden and architecture tests, with -race' unit
stage 'the suite of gomqtt for brokers' go test -run TestSpec ./baetyl-hub/hub
stage 'faults of the disk under the hub, without -race' go test -run TestFaults ./baetyl-hub/store
stage 'end to end' "${MAKE:-make}" --no-print-directory e2e
stage 'end to end, in containers' "${MAKE:-make}" --no-print-directory e2e MODE=docker
printf '%s' "$summary"
printf '%6d s  in all\n' $(($(date +%s) - started))
