#!/bin/sh
# package-runtime.sh RUNTIME DIR: a function runtime's package, ready to start, in the directory DIR.
#
#   RUNTIME   python27, python36 or node85
#
# Copies package.yml, function.yml, the launcher and the source, then runs the package's own bin/prepare, which fetches
# what the runtime needs (venv, node_modules) into the package and nowhere else. May be run again; what is prepared
# already is kept. Exit status: 0 ready; 3 its interpreter or its libraries can't be had, reason and remedy are on
# stderr; 2 wrong arguments.
set -eu

case $#:${1:-} in
2:python27 | 2:python36) files='package.yml function.yml bin lib requirements.txt' ;;
2:node85) files='package.yml function.yml bin lib package.json package-lock.json' ;;
*)
	echo "usage: $0 python27|python36|node85 DIR" >&2
	exit 2
	;;
esac

module=$(cd "$(dirname "$0")/.." && pwd)/baetyl-function-$1
mkdir -p "$2"
package=$(cd "$2" && pwd)
for file in $files; do
	# What is the same stays: instances may be starting from it.
	diff -rq -x __pycache__ -x '*.pyc' "$module/$file" "$package/$file" >/dev/null 2>&1 && continue
	rm -rf "${package:?}/$file"
	cp -RL "$module/$file" "$package/$file" # -L: the Python runtimes share their source through links
	find "$package/$file" -name __pycache__ -prune -exec rm -rf {} +
done
exec "$package/bin/prepare"
