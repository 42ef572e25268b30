#!/bin/sh
# dockerd-newest.sh: builds the newest docker daemon that there is as Go modules, with the containerd that it needs, and
# prints the path of its dockerd: for BAETYL_DOCKERD. What is built lies in output/cache. runc is that of the machine.
#
# It needs the programs go, gcc and runc, 3 GB for modules and, the first time, some minutes.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
moby=v2.0.0-beta.24 # docker 29
containerd=v2.4.2
dir=$PWD/output/cache/dockerd-$moby-$containerd
program=$dir/dockerd

# module PATH VERSION PACKAGE… builds packages of a module into $new.
module() {
	path=$1 version=$2
	shift 2
	work=$(mktemp -d)
	(
		cd "$work"
		go mod init built >/dev/null 2>&1
		go get "$path@$version" >/dev/null
		# shellcheck disable=SC2046
		go get $(printf "$path/%s " "$@") >/dev/null
		for package in "$@"; do
			CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -tags 'no_btrfs no_zfs exclude_graphdriver_btrfs' \
				-o "$new/" "$path/$package"
		done
	)
	rm -rf "$work"
}

if [ ! -x "$program" ]; then
	new=$dir.new
	rm -rf "$new"
	mkdir -p "$new"
	step "building docker $moby and containerd $containerd into $dir" >&2
	module github.com/moby/moby/v2 "$moby" cmd/dockerd cmd/docker-proxy >&2
	module github.com/containerd/containerd/v2 "$containerd" cmd/containerd cmd/containerd-shim-runc-v2 >&2
	mv "$new" "$dir"
fi
echo "$program"
