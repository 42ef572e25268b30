#!/bin/sh
# debian-root.sh: the root of Debian with the Python 3 of the distribution, by debootstrap, as a tar, whose path it
# prints. It is cached in output/cache/base. Needs root on Debian or Ubuntu; the mirror is the one that apt uses here.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
exec 3>&1 1>&2 # progress goes to stderr
PATH=$PATH:/usr/sbin:/sbin
cache=$PWD/output/cache/base
mkdir -p "$cache"
if [ ! -e "$cache/debian.tar" ]; then
	want debootstrap debootstrap 'base images cannot be made' command -v debootstrap
	codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
	# shellcheck disable=SC2016
	mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' |
		awk -v c="$codename" '$2 == c && $3 == "main" { print $1; exit }')
	step "debootstrap $codename"
	rm -rf "$cache/debian"
	debootstrap --variant=minbase --include=python3,python3-pip "$codename" "$cache/debian" "$mirror" \
		>"$cache/debootstrap.log" 2>&1 || {
		tail -n 20 "$cache/debootstrap.log"
		exit 1
	}
	tar -C "$cache/debian" --exclude=./dev --exclude=./proc --exclude=./sys \
		--exclude=./var/cache/apt --exclude=./var/lib/apt/lists \
		--exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale -cf "$cache/debian.tar.new" .
	mv "$cache/debian.tar.new" "$cache/debian.tar"
	rm -rf "$cache/debian"
fi
echo "$cache/debian.tar" >&3
