#!/bin/sh
# dockerd.sh start | stop | kill | host: a docker daemon for tests alone, where none answers or where a test kills
# the daemon.
#
#   start   starts dockerd unless it runs, waits until it answers, and prints its DOCKER_HOST
#   kill    kill -9 of the daemon; its containers run on (live-restore), start brings it back
#   stop    removes its containers and ends it
#   host    prints its DOCKER_HOST
#
#   BAETYL_DOCKERD_DIR   its folder, absolute and short: output/dockerd of the repository by default
#   BAETYL_DOCKERD_ARGS  further options of dockerd
#   BAETYL_DOCKERD       its program, dockerd by default; the containerd and runc beside it come before others
#
# It needs root and the packages docker.io, iptables and iproute2. It shares no data, socket or bridge with a daemon
# of the machine.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
PATH=$PATH:/usr/sbin:/sbin
dockerd=${BAETYL_DOCKERD:-dockerd}
case $dockerd in */*) PATH=$(dirname "$dockerd"):$PATH ;; esac
dir=${BAETYL_DOCKERD_DIR:-$PWD/output/dockerd}
host=unix://$dir/docker.sock
log=$dir/log
timeout=180 # seconds; a busy machine takes long
bridge=bd$(printf %s "$dir" | cksum | cut -d ' ' -f 1)

answers() { DOCKER_HOST=$host docker version >/dev/null 2>&1; }

# pid prints the process id of this daemon, if it runs.
pid() {
	[ -f "$dir/pid" ] || return 1
	number=$(cat "$dir/pid")
	grep -qa "$dir" "/proc/$number/cmdline" 2>/dev/null || return 1
	echo "$number"
}

await() {
	waited=0
	until "$@"; do
		[ "$waited" -lt $((timeout * 5)) ] || return 1
		waited=$((waited + 1))
		sleep 0.2
	done
}

gone() { ! pid >/dev/null; }

# alone tells whether the containerd of a killed daemon has ended with it. If no process reaps it, it stays a zombie:
# the next daemon would take it for alive and wait for it.
alone() {
	[ -f "$dir/exec/containerd/containerd.pid" ] || return 0
	number=$(cat "$dir/exec/containerd/containerd.pid")
	case $(sed 's/.*) //' "/proc/$number/stat" 2>/dev/null) in
	'' | Z*) rm -f "$dir/exec/containerd/containerd.pid" ;;
	*) return 1 ;;
	esac
}

# launch DRIVER
launch() {
	rm -f "$dir/pid" "$dir/docker.sock"
	# A bridge of its own: --bridge none would remove docker0, which may belong to another daemon.
	ip link show "$bridge" >/dev/null 2>&1 || ip link add name "$bridge" type bridge
	# shellcheck disable=SC2086
	nohup "$dockerd" --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" --host "$host" \
		--storage-driver "$1" --live-restore --bridge "$bridge" ${BAETYL_DOCKERD_ARGS:-} >>"$log" 2>&1 </dev/null &
	child=$!
	await started
}

# started tells whether waiting is over: the daemon answers, or has ended.
started() { answers || ! kill -0 "$child" 2>/dev/null; }

start() {
	if pid >/dev/null && answers; then
		echo "$host"
		return
	fi
	if [ "$(id -u)" != 0 ] || ! command -v "$dockerd" >/dev/null 2>&1; then
		echo 'dockerd.sh: a daemon for tests needs root, and the packages docker.io, iptables and iproute2' >&2
		return 1
	fi
	mkdir -p "$dir"
	drivers='overlay2 vfs'
	[ ! -f "$dir/driver" ] || drivers=$(cat "$dir/driver") # the driver of the existing data
	for driver in $drivers; do
		launch "$driver"
		if answers; then
			echo "$driver" >"$dir/driver"
			echo "$host"
			return
		fi
	done
	echo "dockerd.sh: dockerd does not answer; the end of $log:" >&2
	tail -n 5 "$log" >&2
	return 1
}

stop() {
	number=$(pid) || return 0
	if answers; then
		containers=$(DOCKER_HOST=$host docker ps -aq)
		# shellcheck disable=SC2086
		[ -z "$containers" ] || DOCKER_HOST=$host docker rm -f $containers >/dev/null
		DOCKER_HOST=$host docker network prune -f >/dev/null # their bridges would stay on the host
	fi
	kill "$number" 2>/dev/null || true
	await gone
	ip link delete "$bridge" 2>/dev/null || true
	! mountpoint -q "$dir/data" || umount "$dir/data" # live-restore leaves it mounted
}

case ${1:-} in
start) start ;;
stop) stop ;;
kill)
	number=$(pid) || exit 0
	kill -9 "$number"
	await gone
	await alone
	;;
host) echo "$host" ;;
*)
	echo 'usage: dockerd.sh start | stop | kill | host' >&2
	exit 2
	;;
esac
