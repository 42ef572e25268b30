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

# answers TOPIC MODULE MARK: TOPIC, where the runtime of MODULE was prepared.
topics='t, t/topic'
answers() { [ ! -e "$prefix/var/db/baetyl/$2/$3" ] || topics="$topics, $1"; }
answers t/py3hi baetyl-function-python36 venv/prepared
answers t/node8hi baetyl-function-node85 node_modules/.prepared
answers t/py2hi baetyl-function-python27 venv/prepared

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

The message comes back on $topics. The timer service sends the same every 10 s.
Logs: $prefix/var/log/baetyl
Ctrl-C stops everything.$install_clients
----------------------------------------------------------------------------------------------------
END
)
step "starting $prefix/bin/baetyl start"
exec "$prefix/bin/baetyl" start
