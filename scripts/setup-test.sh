#!/bin/sh
# Installs the other programs that tests use, where they are missing: mosquitto and its clients, sshd, MQTT.js, paho for
# Python, docker, a C compiler for the race detector. They go to output/cache; only what apt installs is global. In CI
# (CI=true) a missing part is an error; elsewhere the tests that need it are skipped and say so.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
PATH=$PATH:/usr/sbin:/sbin # where Debian has mosquitto
scripts/setup.sh

cache=output/cache
mqttjs=5.10.1
axe=4.11.0
paho=2.1.0
missing=0

# asleep UNIT…: systemd does not start these units when they are installed now. awake UNIT… allows it again; they stay
# disabled.
asleep() { system mask "$@"; }
awake() { system unmask "$@" && system disable "$@"; }
system() {
	if [ ! -d /run/systemd/system ] || ! can_apt; then
		return 0
	fi
	as_root='sudo -n'
	[ "$(id -u)" != 0 ] || as_root=''
	$as_root systemctl --quiet "$@" || true
}

# own_docker tells whether scripts/dockerd.sh has what it needs.
own_docker() { command -v docker && command -v dockerd && command -v iptables && command -v ip; }

want 'a C compiler' 'gcc libc6-dev' 'the race detector does not work' command -v gcc || missing=1
want 'mosquitto_pub and mosquitto_sub' 'mosquitto-clients' 'end-to-end tests are skipped' \
	command -v mosquitto_pub || missing=1
# Their packages would start them at once, the broker on the port that the example uses. Only tests need them, so they
# are not started.
if ! command -v mosquitto >/dev/null 2>&1; then
	asleep mosquitto.service
	want 'mosquitto' 'mosquitto' 'tests beside another broker are skipped' command -v mosquitto || missing=1
	awake mosquitto.service
fi
if [ ! -x /usr/sbin/sshd ]; then
	asleep ssh.service ssh.socket
	want 'sshd' 'openssh-server' 'tests of --host are skipped' test -x /usr/sbin/sshd || missing=1
	awake ssh.service ssh.socket
fi
# Otherwise there is a daemon, or scripts/dockerd.sh starts one.
if ! own_docker >/dev/null && ! docker version >/dev/null 2>&1; then
	asleep docker.service docker.socket containerd.service
	want 'docker and its daemon' 'docker.io iptables iproute2' 'tests of the docker engine are skipped' \
		own_docker || missing=1
	awake docker.service docker.socket containerd.service
fi
want 'busybox' 'busybox-static' 'tests in small containers are skipped' command -v busybox || missing=1
want 'bash-completion' 'bash-completion' 'completion in bash is not tried' \
	test -e /usr/share/bash-completion/bash_completion || missing=1
want 'chromium' 'chromium' 'the page is not tried in a browser' command -v chromium || missing=1
want 'rpm' 'rpm' 'tests of packages for rpm are skipped' command -v rpm || missing=1
want 'shellcheck' 'shellcheck' 'scripts are not checked' command -v shellcheck || missing=1

installed="require('./$cache/node/node_modules"
same="$installed/mqtt/package.json').version === '$mqttjs' && $installed/axe-core/package.json').version === '$axe'"
if ! node -e "process.exit($same ? 0 : 1)" 2>/dev/null; then
	step "fetching MQTT.js $mqttjs and axe-core $axe into $cache/node"
	mkdir -p "$cache/node"
	npm install --silent --no-audit --no-fund --no-save --prefix "$cache/node" "mqtt@$mqttjs" "axe-core@$axe" || {
		note 'MQTT.js and axe-core are missing: tests over WebSocket, and those of the page, are skipped'
		missing=1
	}
fi

if ! "$cache/paho/bin/python" -c "import paho.mqtt as p, sys; sys.exit(p.__version__ != '$paho')" 2>/dev/null; then
	step "fetching paho $paho into $cache/paho"
	mkdir -p "$cache"
	{
		python3 -m venv "$cache/paho" &&
			"$cache/paho/bin/pip" install --quiet --disable-pip-version-check "paho-mqtt==$paho"
	} || {
		note 'paho is missing: its tests are skipped'
		missing=1
	}
fi

if [ "$missing" = 1 ] && [ "${CI:-}" = true ]; then
	note 'CI=true needs every part named above.'
	exit 1
fi
