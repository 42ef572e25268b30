#!/bin/sh
# Installs what `make run` needs beyond Go, make and git: with apt where that is possible; otherwise it prints the exact
# command. Only a missing Go ends with an error: without Python or Node their functions are shown as failed,
# the rest runs.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

go_needed=$(sed -n 's/^go //p' go.mod)
if ! command -v go >/dev/null 2>&1; then
	note "go is missing: install Go $go_needed or newer from https://go.dev/dl/ and put its bin folder into PATH."
	exit 1
fi

python_ready() { python3 -c 'import ensurepip, venv'; }
node_ready() { node -e 0 && npm --version; }

step 'looking for what the example needs'
want 'Python 3 with venv' 'python3 python3-venv' 'functions in Python 3 will not answer (t/py3hi)' python_ready || true
want 'Node with npm' 'nodejs npm' 'functions in JavaScript will not answer (t/node8hi)' node_ready || true
want 'mosquitto_pub and mosquitto_sub' 'mosquitto-clients' 'any other MQTT client will do' \
	command -v mosquitto_sub || true
