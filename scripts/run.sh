#!/bin/sh
# run.sh PREFIX: runs the installed example in the foreground. The next commands to try are printed once the hub
# listens.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
prefix=$1
installer=.build/installer

mode=$(sed -n 's|^mode: *\([a-z]*\).*|\1|p' "$prefix/etc/baetyl/conf.yml")
# has MODULE MARK: whether the runtime of MODULE can run: as a package that was prepared, or as an image.
if [ "$mode" = docker ]; then
	# - [address:]port:1883
	port=$(sed -n -e 's|- "*[0-9.]*:\([0-9]*:1883\)|- \1|' -e 's|.*- "*\([0-9][0-9]*\):1883"*$|\1|p' \
		"$prefix/var/db/baetyl/application.yml" | head -n 1)
	has() { docker image inspect "${IMAGE_PREFIX:-}$1:${TAG:-latest}" >/dev/null 2>&1; }
	logs="$prefix/var/log/baetyl; docker ps shows the containers."
else
	port=$(sed -n 's|.*tcp://[^:]*:\([0-9][0-9]*\).*|\1|p' "$prefix/var/db/baetyl/localhub-conf/service.yml" | head -n 1)
	has() { [ -e "$prefix/var/db/baetyl/$1/$2" ]; }
	logs=$prefix/var/log/baetyl
fi
port=${port:-1883}

topics='t, t/topic, t/sqlfilter'
! has baetyl-function-python36 venv/prepared || topics="$topics, t/py3hi"
! has baetyl-function-node85 node_modules/.prepared || topics="$topics, t/node8hi"
! has baetyl-function-python27 venv/prepared || topics="$topics, t/py2hi"

install_clients=''
command -v mosquitto_sub >/dev/null 2>&1 || install_clients='
The mosquitto clients are not installed: sudo apt-get install mosquitto-clients'
[ "$port" = 1883 ] && p='' || p=" -p $port"

# The announcer must not be a child of the master, which would have to reap it; it ends with the master.
(
	$installer announce -pid $$ -address "127.0.0.1:$port" -log "$prefix/var/log/baetyl/baetyl.log" <<END &

----------------------------------------------------------------------------------------------------
Baetyl runs. Its hub listens on port $port of this device (user test, password hahaha). In a second terminal:

  mosquitto_sub -h 127.0.0.1$p -u test -P hahaha -t '#' -v

and in a third one:

  mosquitto_pub -h 127.0.0.1$p -u test -P hahaha -t t -m '{"id":1}'

The message comes back on $topics. The timer service sends the same every 10 s.
Logs: $logs
Ctrl-C stops everything.$install_clients
----------------------------------------------------------------------------------------------------
END
)
step "starting $prefix/bin/baetyl start"
exec "$prefix/bin/baetyl" start
