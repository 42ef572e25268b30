#!/bin/sh
# dockerd-newest.sh: builds the newest docker daemon that there is as Go modules, with the containerd that it needs, and
# prints the path of its dockerd: for BAETYL_DOCKERD. What is built lies in output/cache, with a runc that knows the
# namespaces which the daemon asks for.
#
# It needs go, gcc and libseccomp-dev, 3 GB for modules and, the first time, many minutes.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
moby=v2.0.0-beta.24 # docker 29
containerd=v2.4.2
runc=v1.5.3
dir=$PWD/output/cache/dockerd-$moby-$containerd-$runc
program=$dir/dockerd

# module CGO PATH VERSION PACKAGE… builds packages of a module into $new. CGO is 1 for those that need a C compiler.
module() {
	cgo=$1 path=$2 version=$3
	shift 3
	work=$(mktemp -d)
	(
		cd "$work"
		go mod init built >/dev/null 2>&1
		go get "$path@$version" >/dev/null
		# shellcheck disable=SC2046
		go get $(printf "$path/%s " "$@") >/dev/null
		for package in "$@"; do
			CGO_ENABLED=$cgo go build -trimpath -ldflags '-s -w' \
				-tags 'no_btrfs no_zfs exclude_graphdriver_btrfs seccomp' -o "$new/" "$path/$package"
		done
	)
	rm -rf "$work"
}

if [ ! -x "$program" ]; then
	new=$dir.new
	rm -rf "$new"
	mkdir -p "$new"
	step "building docker $moby and containerd $containerd into $dir" >&2
	want 'libseccomp' libseccomp-dev 'runc can not be built' test -f /usr/include/seccomp.h >&2
	module 0 github.com/moby/moby/v2 "$moby" cmd/dockerd cmd/docker-proxy >&2
	module 0 github.com/containerd/containerd/v2 "$containerd" cmd/containerd cmd/containerd-shim-runc-v2 >&2
	module 1 github.com/opencontainers/runc "$runc" . >&2
	mv "$new" "$dir"
fi
echo "$program"
