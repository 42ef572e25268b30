#!/bin/sh
# install-tree.sh PREFIX EXAMPLE MODULE…: the binary, the example's etc and var, a package for each module, those of
# runtimes with all that they need prepared inside, and the test certificates. Files that the user changed are kept.
# A runtime that can't be prepared is named, and the rest is installed: its function then shows as failed.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
prefix=$1 example=$2
shift 2
installer=.build/installer
# Whoever installs may let others write what he makes; nobody else writes what root runs.
umask go-w

step "installing into $prefix"
mkdir -p "$prefix/bin" "$prefix/var/db/baetyl"
# A new file in place of the old one: a binary that runs can't be written to.
cp baetyl "$prefix/bin/.baetyl.new"
mv -f "$prefix/bin/.baetyl.new" "$prefix/bin/baetyl"
$installer tree "$example" "$prefix"
$installer certs "$prefix/var/db/baetyl/localhub-cert-only-for-test"

failed=''
for module in "$@"; do
	package=$prefix/var/db/baetyl/$module
	if [ -f "$module/main.go" ]; then # baetyl itself is every module that is written in Go
		$installer own "$module" "$package"
		continue
	fi
	$installer unpack "$module/package.zip" "$package"
	# A runtime fetches its libraries into its own package, and is quick when they are there already.
	if [ -x "$package/bin/prepare" ]; then
		step "preparing $module"
		"$package/bin/prepare" || failed="$failed $module"
	fi
done
for module in $failed; do
	note "$module could not be prepared (see above): its function will be shown as failed, the rest runs."
done
