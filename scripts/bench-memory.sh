#!/bin/sh
# The memory of an idle edge (keeper, master, hub, function manager, timer of the native example): baetyl as one program
# that is all modules, beside the same with a program for each. make bench-memory [ROUNDS=3] [AFTER=15].
# Each round starts one after the other, and sums the PSS of the five processes AFTER seconds later: memory of its own,
# and its share of what several map, such as the text of a program.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
[ "$(id -u)" = 0 ] || { note 'needs root, to read the memory of services with users of their own'; exit 1; }
dir=$PWD/output/bench-memory
make=${MAKE:-make}
mkdir -p "$dir"
step 'installing one program'
"$make" --no-print-directory install-native PREFIX="$dir/one" >/dev/null
step 'installing a program for each module'
rm -rf "$dir/each"
cp -a "$dir/one" "$dir/each"
for module in $MODULES; do
	"$make" --no-print-directory "$module/package.zip" >/dev/null
	rm -rf "$dir/each/var/db/baetyl/$module"
	.build/installer unpack "$module/package.zip" "$dir/each/var/db/baetyl/$module"
done
printf 'package main\n\nfunc runModule() bool { return false }\n' >"$dir/none.go"
printf '{"Replace": {"%s/modules.go": "%s/none.go"}}\n' "$PWD" "$dir" >"$dir/overlay.json"
CGO_ENABLED=0 "${GO:-go}" build -overlay "$dir/overlay.json" -buildvcs=false -trimpath -tags "$TAGS" \
	-ldflags "$LDFLAGS" -o "$dir/each/bin/baetyl" .

# children PID: the processes that it has started
children() { cat /proc/"$1"/task/*/children 2>/dev/null || true; }

# total PREFIX: starts it, and prints the kB of the five
total() {
	"$1/bin/baetyl" start >"$1/console" 2>&1 &
	keeper=$!
	sleep "${AFTER:-15}"
	sum=0 found=''
	for pid in $keeper $(children "$keeper"); do
		name=$(tr '\0' '\n' <"/proc/$pid/cmdline" | head -n 1)
		case ${name##*/} in baetyl | baetyl-master | localhub | function-manager | timer) ;; *) continue ;; esac
		found="$found ${name##*/}"
		sum=$((sum + $(sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' "/proc/$pid/smaps_rollup")))
	done
	kill "$keeper"
	wait "$keeper" || true
	[ "$(echo "$found" | wc -w)" = 5 ] || { note "found only$found; see $1/console" >&2; return 1; }
	echo "$sum"
}

round=0
while [ "$round" -lt "${ROUNDS:-3}" ]; do
	round=$((round + 1))
	each=$(total "$dir/each")
	one=$(total "$dir/one")
	printf 'round %s: one program %s kB, a program for each %s kB, ratio 0.%02d\n' "$round" "$one" "$each" \
		$((one * 100 / each))
done
