#!/bin/sh
# function.sh FOLDER LANGUAGE: writes a small function with a test into FOLDER, whose last part is its name.
#
#   LANGUAGE   python, node, sql or go
#
# Exit status: 0 written; 2 wrong arguments: nothing is written; 1 it could not be written whole. Reason and remedy are
# on stderr.
set -eu
refuse() {
	echo "function: $*" >&2
	exit 2
}

repository=$(cd "$(dirname "$0")/.." && pwd)
usage='write make function NEW=path/to/name IN=python, node, sql or go'
[ -n "${1:-}" ] || refuse "NEW is missing; $usage"
case ${2:-} in
python | node | sql | go) ;;
'') refuse "IN is missing; $usage" ;;
*) refuse "IN=$2 is no language; $usage" ;;
esac
name=$(basename -- "$1")
# It is the name of a service, a client id and a module of Go.
case $name in
[!a-z]* | *[!a-z0-9-]* | *-)
	refuse "NEW=$1: '$name' is no name for a function; use small letters, digits and -, a letter first, no - at the end" ;;
esac
[ ${#name} -le 40 ] || refuse "NEW=$1: the name is longer than 40 characters; choose a shorter one"
if [ -e "$1" ] || [ -L "$1" ]; then refuse "NEW=$1 is there already; choose another folder, or remove it"; fi

[ "$2" != go ] || command -v go >/dev/null || refuse "IN=go needs the program go, which is not in PATH; install Go"
mkdir -p -- "$1"
folder=$(cd -- "$1" && pwd)
for file in "$repository/example/function/$2"/*; do
	[ -f "$file" ] || continue
	sed "s/example-function/$name/g" "$file" >"$folder/$(basename "$file")"
done
if [ "$2" = go ]; then
	cd "$folder"
	export GOWORK=
	if ! said=$(go mod init "example.com/$name" 2>&1 && go work init . "$repository" 2>&1); then
		echo "function: $said" >&2
		exit 1
	fi
fi
echo "function: $1 is written; read $1/README.md"
