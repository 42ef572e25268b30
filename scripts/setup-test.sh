#!/bin/sh
# Makes sure of the real parts that tests use: mosquitto and its clients, MQTT.js, paho for Python, a C compiler for the race
# detector.
# They go to output/cache, nothing is global but what apt installs. In CI (CI=true) a missing part is an error; elsewhere
# the tests that need it are skipped and say so.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
PATH=$PATH:/usr/sbin:/sbin # where Debian has mosquitto
scripts/setup.sh

cache=output/cache
mqttjs=5.10.1
paho=2.1.0
missing=0

want 'a C compiler' 'gcc libc6-dev' 'the race detector does not work' command -v gcc || missing=1
want 'mosquitto_pub and mosquitto_sub' 'mosquitto-clients' 'end-to-end tests are skipped' command -v mosquitto_pub || missing=1
# The broker's package would start it at once, on the port that the example uses: here it is a peer of tests alone.
if ! command -v mosquitto >/dev/null 2>&1; then
	if [ -d /run/systemd/system ] && can_apt; then
		systemctl='sudo -n systemctl'
		[ "$(id -u)" != 0 ] || systemctl=systemctl
	else
		systemctl=:
	fi
	$systemctl mask --quiet mosquitto.service || true
	want 'mosquitto' 'mosquitto' 'tests beside another broker are skipped' command -v mosquitto || missing=1
	$systemctl unmask --quiet mosquitto.service || true
	$systemctl disable --quiet mosquitto.service || true
fi
want 'shellcheck' 'shellcheck' 'scripts are not checked' command -v shellcheck || missing=1

if ! node -e "process.exit(require('./$cache/node/node_modules/mqtt/package.json').version === '$mqttjs' ? 0 : 1)" 2>/dev/null; then
	step "fetching MQTT.js $mqttjs into $cache/node"
	mkdir -p "$cache/node"
	npm install --silent --no-audit --no-fund --no-save --prefix "$cache/node" "mqtt@$mqttjs" || {
		note 'MQTT.js is missing: tests over WebSocket are skipped'
		missing=1
	}
fi

if ! "$cache/paho/bin/python" -c "import paho.mqtt as p, sys; sys.exit(p.__version__ != '$paho')" 2>/dev/null; then
	step "fetching paho $paho into $cache/paho"
	mkdir -p "$cache"
	{ python3 -m venv "$cache/paho" && "$cache/paho/bin/pip" install --quiet --disable-pip-version-check "paho-mqtt==$paho"; } || {
		note 'paho is missing: its tests are skipped'
		missing=1
	}
fi

if [ "$missing" = 1 ] && [ "${CI:-}" = true ]; then
	note 'CI=true needs every part named above.'
	exit 1
fi
