#!/bin/sh
# run.sh PREFIX: runs the installed example in the foreground. What a newcomer types next is printed once the hub listens.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
prefix=$1
conf=$prefix/var/db/baetyl/localhub-conf/service.yml
installer=.build/installer

port=$(sed -n 's|.*tcp://[^:]*:\([0-9][0-9]*\).*|\1|p' "$conf" | head -n 1)
port=${port:-1883}

install_clients=''
command -v mosquitto_sub >/dev/null 2>&1 || install_clients='
The mosquitto clients are not installed: sudo apt-get install mosquitto-clients'
[ "$port" = 1883 ] && p='' || p=" -p $port"

# The announcer must not be a child of the master, which would have to reap it; it ends with the master.
(
	$installer announce -pid $$ -address "127.0.0.1:$port" -log "$prefix/var/log/baetyl/baetyl.log" <<END &

----------------------------------------------------------------------------------------------------
Baetyl runs. Its hub listens on port $port (user test, password hahaha). In a second terminal:

  mosquitto_sub -h 127.0.0.1$p -u test -P hahaha -t '#' -v

and in a third one:

  mosquitto_pub -h 127.0.0.1$p -u test -P hahaha -t t -m '{"id":1}'

The message comes back on t, t/topic, t/py3hi and t/node8hi (t/py2hi with a Python 2.7).
The timer service sends the same every 10 s. Logs: $prefix/var/log/baetyl, $prefix/var/db/baetyl/*-log
Ctrl-C stops everything.$install_clients
----------------------------------------------------------------------------------------------------
END
)
step "starting $prefix/bin/baetyl start"
exec "$prefix/bin/baetyl" start
