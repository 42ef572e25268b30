#!/bin/sh
# Measures baetyl-hub beside other brokers in one run: make bench [ROWS=<pattern>] [BROKERS=<pattern>] [TIME=3s]
# [ROUNDS=1]. The peers come from apt (mosquitto), as Go modules (nats-server, mochi-mqtt) and by Maven (artemis), into
# output/cache/bench. A name hub@REV in BROKERS makes the hub of that commit a peer: BROKERS='hub|hub@HEAD~1' measures
# nothing but this hub and the one before.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
dir=$PWD/output/cache/bench
mkdir -p "$dir"
PATH=$PATH:/usr/sbin # where Debian has mosquitto
want mosquitto mosquitto 'its columns stay empty' command -v mosquitto || true
if [ ! -x "$dir/nats-server" ]; then
	step 'fetching nats-server'
	GOBIN=$dir go install github.com/nats-io/nats-server/v2@latest ||
		note 'nats-server could not be fetched: its column stays empty'
fi
if [ ! -x "$dir/mochi" ]; then
	step 'fetching mochi-mqtt'
	if GOBIN=$dir go install github.com/mochi-mqtt/server/v2/cmd@latest; then
		mv "$dir/cmd" "$dir/mochi"
	else
		note 'mochi-mqtt could not be fetched: its column stays empty'
	fi
fi
# artemis is ActiveMQ Artemis, the durable peer.
artemis=2.40.0
artemis_ready() { [ -x "$dir/artemis/bin/artemis" ] && [ "$(cat "$dir/artemis/version")" = "$artemis" ]; }
if want 'Java' default-jre-headless 'the column of artemis stays empty' command -v java && ! artemis_ready &&
	want 'Maven' maven 'the column of artemis stays empty' command -v mvn; then
	step 'fetching artemis'
	rm -rf "$dir/artemis"
	if mvn -q -B dependency:copy -Dartifact="org.apache.activemq:apache-artemis:$artemis:tar.gz:bin" \
		-DoutputDirectory="$dir" >/dev/null &&
		tar -C "$dir" -xzf "$dir/apache-artemis-$artemis-bin.tar.gz"; then
		mv "$dir/apache-artemis-$artemis" "$dir/artemis"
		rm "$dir/apache-artemis-$artemis-bin.tar.gz"
		echo "$artemis" >"$dir/artemis/version"
	else
		note 'artemis could not be fetched: its column stays empty'
	fi
fi
step 'building the hub and the load generator'
build_hub() { CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags '-s -w' -o "$1" ./baetyl-hub; }
build_hub "$dir/baetyl-hub"
rm -f "$dir"/baetyl-hub@*
for revision in $(printf %s "${BROKERS:-}" | tr '|' '\n' | sed -n 's/^\(baetyl-\)\{0,1\}hub@//p'); do
	step "building the hub of $revision"
	tree=$dir/worktree
	git worktree remove --force "$tree" 2>/dev/null || rm -rf "$tree"
	git worktree prune
	git worktree add --quiet --detach "$tree" "$revision"
	(cd "$tree" && build_hub "$dir/baetyl-hub@$revision")
	git worktree remove --force "$tree"
done
go build -o "$dir/bench" ./test/bench
exec "$dir/bench" -cache "$dir" -rows "${ROWS:-}" -brokers "${BROKERS:-}" -time "${TIME:-3s}" -rounds "${ROUNDS:-1}"
