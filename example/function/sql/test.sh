#!/bin/sh
# Run it with: sh test.sh. BAETYL is the program baetyl, where it is not in PATH.
set -eu
cd "$(dirname "$0")"
program=${BAETYL:-baetyl}
try() { "$program" sql test --file service.yml --message - 2>&1; }

expect() {
	if [ "$1" != "$2" ]; then
		echo "want: $2, got: $1" >&2
		exit 1
	fi
}

expect "$(try <event.json)" '{"celsius":30,"device":"boiler"}'
expect "$(echo '{"device":"boiler"}' | try | cut -c1-16)" 'baetyl: no match'
echo ok
