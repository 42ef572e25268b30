#!/bin/sh
# What a device writes to its disk: the native example on an ext4 of its own, and what reaches the block device in a
# day, with all that the file system adds. Lines: idle; one message a second at QoS 1 that a kept session receives; ten.
# make bench-wear [MINUTES=5] [SIZE=200]: each measure takes MINUTES; SIZE is bytes of a payload. Needs root.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
[ "$(id -u)" = 0 ] || { note 'needs root, to mount a file system'; exit 1; }
minutes=${MINUTES:-5}
payload=$(head -c "${SIZE:-200}" /dev/zero | tr '\0' x)
work=$PWD/output/bench-wear
prefix=$work/disk
rm -rf "$work"
mkdir -p "$prefix"
keeper='' load='' subscriber=''
trap 'kill $load $subscriber $keeper 2>/dev/null || true; wait; umount "$prefix"; rm -rf "$work"' EXIT
truncate -s 1G "$work/image"
mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "$work/image"
mount -o loop "$work/image" "$prefix"
stat=/sys/block/$(basename "$(findmnt -n -o SOURCE "$prefix")")/stat
"${MAKE:-make}" --no-print-directory install-native PREFIX="$prefix" >/dev/null
"$prefix/bin/baetyl" start >"$work/console" 2>&1 &
keeper=$!
sleep 10
"$prefix/bin/baetyl" status >"$work/status" || {
	cat "$work/status" >&2
	note 'the example does not run as it should' >&2
	exit 1
}

# written: what the block device has been given until now, in KiB.
written() {
	sync -f "$prefix"
	awk '{ print int($7 / 2) }' "$stat"
}

# measure NAME: measures MINUTES.
measure() {
	sleep 30 # what has begun has settled
	before=$(written)
	sleep $((minutes * 60))
	now=$(written)
	awk -v name="$1" -v k=$((now - before)) -v m="$minutes" \
		'BEGIN { printf "| %s | %.1f MB | %.1f KiB |\n", name, k * 1440 / m / 1000, k / m }'
}

# messages A_SECOND: sends them for as long as a measure takes.
messages() {
	export payload
	# shellcheck disable=SC2016 # that shell expands it
	exec timeout $((minutes * 60 + 60)) sh -c 'while :; do
		n=0
		while [ "$n" -lt "$1" ]; do
			echo "$payload"
			n=$((n + 1))
		done
		sleep 1
	done | mosquitto_pub -h 127.0.0.1 -u test -P hahaha -q 1 -t wear -l' messages "$1"
}

printf '| %s minutes each | written in a day | in a minute |\n|---|---|---|\n' "$minutes"
measure idle
mosquitto_sub -h 127.0.0.1 -u test -P hahaha -q 1 -c -i wear -t wear >/dev/null &
subscriber=$!
for rate in 1 10; do
	messages "$rate" &
	load=$!
	measure "$rate messages of ${SIZE:-200} bytes a second, QoS 1"
	kill "$load"
	wait "$load" 2>/dev/null || true
done
