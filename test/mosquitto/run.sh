#!/bin/sh
# Fetches the sources of mosquitto as Debian has them into output/cache, and runs its test scripts for brokers against
# the hub. Needs Debian or Ubuntu with apt-get, and Python 3. test/mosquitto/run.sh [pattern of script names]
set -eu
cd "$(dirname "$0")/../.."
version=${MOSQUITTO:-2.0.11-1.2+deb12u2} # the version that docs/mqtt-conformance.md has results of
cache=$PWD/output/cache/mosquitto-$version
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! ls "$cache"/*.orig.tar.gz >/dev/null 2>&1; then
    mkdir -p "$cache" "$work/lists/partial" "$work/sources"
    # The archives that this machine has, for sources: nothing of the machine itself is changed.
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$file" ] && sed -n 's/^deb /deb-src /p' "$file" >"$work/sources/$(basename "$file" .list).list"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] && sed 's/^Types: *deb$/Types: deb-src/' "$file" >"$work/sources/$(basename "$file")"
    done
    apt="-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$work/sources -o Dir::State::lists=$work/lists"
    # shellcheck disable=SC2086
    apt-get $apt -qq update
    # shellcheck disable=SC2086
    (cd "$cache" && apt-get $apt -qq source --download-only "mosquitto=$version")
fi

tar xzf "$cache"/*.orig.tar.gz -C "$work"
go build -o "$work/hub" ./baetyl-hub
python3 test/mosquitto/run.py "$work"/mosquitto-* "$work/hub" "$@"
