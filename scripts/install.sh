#!/bin/sh
# install.sh: installs Baetyl on Debian, Ubuntu, Raspberry Pi OS, Rocky, Fedora and openSUSE as a package, on other
# Linux and Darwin as an archive. docs/install.md has the options. It needs a shell as that of busybox, curl or wget,
# and minisign or OpenSSL 3 to check the signature. It runs nothing out of /tmp.
set -eu

# make packages writes the key of the release and, for install_with_docker_example.sh, the example into its copies.
public_key=''
example=''
base=${BAETYL_URL:-https://github.com/baetyl/baetyl/releases/latest/download}
offline='' dry='' uninstall='' purge='' overwrite='' signature=yes prefix=/usr/local archive='' work='' start=yes
# By their paths: busybox's shell has small ones of the same names, and prefers these.
dpkg=/usr/bin/dpkg rpm=/usr/bin/rpm

usage() {
	cat <<'END'
usage: install.sh [option]…
  --offline DIR     take the files from this folder, and nothing from the network
  --url URL         fetch the files from here ($BAETYL_URL)
  --public-key KEY  key of the release, or a file with it
  --no-signature    check digests alone
  --example MODE    install an example too: native or docker
  --prefix DIR      install the archive, not the package, into this folder
  --answers FILE    answers to all questions, a line key=value each: docs/install.md
  --yes             yes to every question
  --dry-run         say what would be done, and do nothing
  --uninstall       remove Baetyl; data and changed configuration stay
  --purge           with --uninstall: remove these too
END
}

say() { printf '%s\n' "$*"; }
die() {
	printf 'install.sh: %s\n' "$*" >&2
	exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# act runs a command, or says it in a dry run.
act() {
	if [ -n "$dry" ]; then
		say "would run: $*"
	else
		"$@"
	fi
}

# one OPTION VALUE ALLOWED…: the value is one of those.
one() {
	what=$1 value=$2
	shift 2
	for allowed in "$@"; do [ "$value" != "$allowed" ] || return 0; done
	die "$what is '$value', allowed are: $*"
}

# answers FILE: lines key=value. Nothing of it is run.
answers() {
	[ -r "$1" ] || die "cannot read the answers in $1"
	while IFS='=' read -r key value || [ -n "$key" ]; do
		case $key in
		'' | '#'*) ;;
		example) one "$1: example" "$value" native docker '' && example=$value ;;
		overwrite) one "$1: overwrite" "$value" yes no && overwrite=$value ;;
		purge) one "$1: purge" "$value" yes no && { [ "$value" = no ] || purge=1; } ;;
		start) one "$1: start" "$value" yes no && start=$value ;;
		prefix) prefix=$value archive=1 ;;
		url) base=$value ;;
		public-key) public_key=$value ;;
		*) die "$1: no such key '$key', allowed are: example overwrite purge start prefix url public-key" ;;
		esac
	done <"$1"
}

while [ $# -gt 0 ]; do
	case $1 in
	--offline | --url | --public-key | --example | --prefix | --answers)
		[ $# -ge 2 ] || die "$1 needs a value"
		case $1 in
		--offline) offline=$2 ;;
		--url) base=$2 ;;
		--public-key) public_key=$2 ;;
		--example) one --example "$2" native docker && example=$2 ;;
		--prefix) prefix=$2 archive=1 ;;
		--answers) answers "$2" ;;
		esac
		shift
		;;
	--no-signature) signature='' ;;
	--yes) overwrite=yes ;;
	--dry-run) dry=1 ;;
	--uninstall) uninstall=1 ;;
	--purge) purge=1 ;;
	-h | --help)
		usage
		exit 0
		;;
	*)
		usage >&2
		die "no such option: $1"
		;;
	esac
	shift
done

# ask QUESTION: yes, no, or an error where nobody can answer. In a pipe stdin is this script, so a terminal is asked.
ask() {
	[ -z "$overwrite" ] || {
		[ "$overwrite" = yes ]
		return
	}
	if ! (: </dev/tty) 2>/dev/null; then
		die "$1 Nobody is there to answer: give --yes, or --answers FILE with overwrite=yes or overwrite=no"
	fi
	printf '%s [y/N] ' "$1" >/dev/tty
	read -r reply </dev/tty || reply=''
	case $reply in y | Y | yes) return 0 ;; *) return 1 ;; esac
}

# machine sets os, family and arch.
machine() {
	os=$(uname -s | tr '[:upper:]' '[:lower:]') family=archive
	case $(uname -m) in
	x86_64 | amd64) arch=amd64 ;;
	i?86) arch=386 ;;
	armv7* | armv8l) arch=arm7 ;;
	aarch64 | arm64) arch=arm64 ;;
	armv6*) die "this machine is $(uname -m), and packages need ARMv7: build for it with GOARCH=arm GOARM=6 make" ;;
	*) die "there are no packages for $(uname -m), only for amd64, 386, arm7 and arm64" ;;
	esac
	[ "$os" != darwin ] || return 0
	[ "$os" = linux ] || die "there are no packages for $os, only for Linux and Darwin"
	# A kernel of 64 bits may run a system of 32: Raspberry Pi OS does.
	if [ -x "$dpkg" ]; then
		case $($dpkg --print-architecture) in armhf) arch=arm7 ;; i386) arch=386 ;; esac
	elif [ "$(getconf LONG_BIT 2>/dev/null)" = 32 ]; then
		case $arch in arm64) arch=arm7 ;; amd64) arch=386 ;; esac
	fi
	[ -z "$archive" ] || return 0
	# Only these two lines are read; the file is not run.
	ids=" $(sed -n 's/^ID=//p; s/^ID_LIKE=//p' /etc/os-release 2>/dev/null | tr -d "\"'" | tr '\n' ' ') "
	case $ids in
	*' debian '* | *' ubuntu '* | *' raspbian '*) family=deb ;;
	*' rhel '* | *' fedora '* | *' centos '* | *' rocky '* | *suse*) family=rpm ;;
	esac
}

root() {
	[ -n "$dry" ] || [ "$(id -u)" = 0 ] || die "packages and $prefix belong to root: run it with sudo -E"
}

# workplace is a folder that is writable, also where / and /tmp are not.
workplace() {
	for place in "${TMPDIR:-/tmp}" /var/tmp /tmp /run; do
		work=$(mktemp -d "$place/baetyl.XXXXXX" 2>/dev/null) && break
	done
	[ -n "$work" ] || die "no folder is writable for what is fetched: set TMPDIR to one"
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# fetch NAME: the file is in $work.
fetch() {
	if [ -n "$offline" ]; then
		[ -f "$offline/$1" ] || die "$offline has no $1"
		cp "$offline/$1" "$work/$1"
	elif has curl; then
		curl -fsSL --retry 3 -o "$work/$1" "$base/$1" || die "cannot fetch $base/$1 (a proxy? set http_proxy, https_proxy)"
	elif has wget; then
		wget -q -O "$work/$1" "$base/$1" || die "cannot fetch $base/$1 (a proxy? set http_proxy, https_proxy)"
	else
		die 'neither curl nor wget is here: install one, or use --offline DIR'
	fi
}

digest() {
	if has sha256sum; then
		sha256sum <"$1"
	elif has shasum; then
		shasum -a 256 <"$1"
	else
		openssl dgst -sha256 <"$1" | sed 's/.*= *//'
	fi | cut -d ' ' -f 1
}

# bytes FILE FROM COUNT
bytes() { dd if="$1" bs=1 skip="$2" count="$3" 2>/dev/null; }

# by_openssl checks what minisign -H has signed: the BLAKE2 digest of the file, with Ed25519. A key is Ed, its number of
# 8 bytes, 32 bytes; a signature ED, the number, 64 bytes.
by_openssl() {
	printf '%s\n' "$public_key" | openssl base64 -d -A >"$work/key"
	sed -n 2p "$work/SHA256SUMS.minisig" | openssl base64 -d -A >"$work/sig"
	[ "$(bytes "$work/sig" 0 2)" = ED ] || die 'SHA256SUMS.minisig is no signature of the form ED'
	bytes "$work/key" 2 8 >"$work/key.id"
	bytes "$work/sig" 2 8 >"$work/sig.id"
	cmp -s "$work/key.id" "$work/sig.id" || return 1
	printf '\060\052\060\005\006\003\053\145\160\003\041\000' >"$work/key.der"
	bytes "$work/key" 10 32 >>"$work/key.der"
	bytes "$work/sig" 10 64 >"$work/sig.raw"
	openssl dgst -blake2b512 -binary <"$work/SHA256SUMS" >"$work/hash"
	openssl pkeyutl -verify -pubin -keyform DER -inkey "$work/key.der" -rawin -in "$work/hash" \
		-sigfile "$work/sig.raw" >/dev/null 2>&1
}

# verify checks who has written SHA256SUMS.
verify() {
	[ -n "$signature" ] || return 0
	[ -n "$public_key" ] || die 'this script knows no key of the release: --public-key KEY, or --no-signature'
	[ ! -f "$public_key" ] || public_key=$(tail -n 1 "$public_key")
	fetch SHA256SUMS.minisig
	if has minisign; then
		minisign -V -q -P "$public_key" -x "$work/SHA256SUMS.minisig" -m "$work/SHA256SUMS" >/dev/null 2>&1
	elif openssl pkeyutl -help 2>&1 | grep -q rawin; then
		by_openssl
	else
		die 'neither minisign nor OpenSSL 3 is here to check the signature: install one, or use --no-signature'
	fi || die 'the signature of SHA256SUMS is not that of the key: nothing was installed'
	say 'the signature of SHA256SUMS is right'
}

# get PATTERN: fetches the one file of SHA256SUMS whose name fits, checks its digest, and sets got.
get() {
	got=$(cut -c 67- "$work/SHA256SUMS" | grep -E "^$1\$") || die "SHA256SUMS names no file for this machine ($1)"
	[ "$(printf '%s\n' "$got" | wc -l)" -eq 1 ] || die "SHA256SUMS names several files for this machine ($1)"
	case $got in */* | -*) die "SHA256SUMS names a file with a bad name: $got" ;; esac
	if [ -n "$dry" ]; then
		say "would fetch: $got"
		return
	fi
	fetch "$got"
	want=$(grep -E "  $1\$" "$work/SHA256SUMS" | cut -d ' ' -f 1)
	[ "$(digest "$work/$got")" = "$want" ] || die "$got is damaged: its digest is not that in SHA256SUMS"
}

# owned tells whether a package manager has installed baetyl.
owned() {
	case $family in
	deb) [ "$(dpkg-query -W -f '${db:Status-Abbrev}' baetyl 2>/dev/null | cut -c 2)" = i ] ;;
	rpm) [ -x "$rpm" ] && $rpm -q baetyl >/dev/null 2>&1 ;;
	*) return 1 ;;
	esac
}

systemd_runs() { [ -d /run/systemd/system ]; }

# with_packages FILE…: the manager of the distribution fetches what they depend on.
with_packages() {
	case $family in
	deb)
		if [ -z "$offline" ] && has apt-get; then
			act apt-get install -y --allow-downgrades "$@"
		else
			act $dpkg --force-confdef --force-confold -i "$@"
		fi
		;;
	rpm)
		if [ -n "$offline" ]; then
			act $rpm -U --oldpackage --replacepkgs "$@"
		elif has zypper; then
			act zypper --non-interactive install --allow-unsigned-rpm "$@"
		elif has dnf; then
			act dnf install -y "$@"
		elif has yum; then
			act yum install -y "$@"
		else
			act $rpm -U --oldpackage --replacepkgs "$@"
		fi
		;;
	esac
}

# put FROM NAME: a file of the archive takes its place in one step, unless it is one that the user has changed.
put() {
	to=$prefix/$2
	case $2 in
	etc/* | var/db/baetyl/application.yml | */service.yml)
		old=$(sed -n "s|^\([0-9a-f]*\)  $2\$|\1|p" "$list" 2>/dev/null || true)
		if [ -e "$to" ] && [ "$(digest "$to")" != "${old:-none}" ] && ! cmp -s "$1" "$to"; then
			say "kept $to: it was changed"
			printf '%s  %s\n' "$(digest "$1")" "$2" >>"$list.new"
			return
		fi
		;;
	esac
	mkdir -p "$(dirname "$to")"
	mv -f "$1" "$to"
	printf '%s  %s\n' "$(digest "$to")" "$2" >>"$list.new"
}

# with_archive FILE: the same as the package, where there is no manager.
with_archive() {
	list=$prefix/share/baetyl/installed
	if [ -n "$dry" ]; then
		say "would unpack: $1 into $prefix"
		return
	fi
	mkdir -p "$prefix/share/baetyl" 2>/dev/null ||
		die "$prefix is not writable: --prefix DIR names another folder, for example /var/opt/baetyl"
	fresh=$prefix/share/baetyl/.new
	rm -rf "$fresh" "$list.new"
	mkdir "$fresh"
	gzip -dc "$work/$1" | tar -xf - -C "$fresh" -o
	: >"$list.new"
	(cd "$fresh"/baetyl-* && find . -type f | sed 's|^\./||') >"$work/files"
	while read -r file; do put "$fresh"/baetyl-*/"$file" "$file"; done <"$work/files"
	rm -rf "$fresh"
	mv "$list.new" "$list"
	chmod 0600 "$prefix/var/db/baetyl/application.yml"
	mkdir -p "$prefix/var/log/baetyl" "$prefix/var/run/baetyl"
	secret=$prefix/var/db/baetyl/localhub-conf/password
	[ -e "$secret" ] || (umask 077 && head -c 18 /dev/urandom | base64 | tr '+/' '-_' >"$secret")
	unit=/etc/systemd/system/baetyl.service
	if [ "$os" = darwin ]; then
		say "to start it at boot: cp $prefix/share/baetyl/io.baetyl.plist /Library/LaunchDaemons, and load it with launchctl"
	elif systemd_runs && [ -w /etc/systemd/system ]; then
		sed "s|/usr/local/bin/baetyl|\"$prefix/bin/baetyl\"|" "$prefix/share/baetyl/baetyl.service" >"$unit"
		systemctl daemon-reload
	fi
}

finish() {
	if [ "$start" = yes ] && [ "$os" = linux ] && systemd_runs; then
		act systemctl enable baetyl
		if [ -n "$example" ]; then act systemctl restart baetyl; else act systemctl start baetyl; fi
	else
		say "to start it: $prefix/bin/baetyl start"
	fi
	[ -n "$example" ] ||
		say "the hub is at 127.0.0.1:1883, its user baetyl, the password in $prefix/var/db/baetyl/localhub-conf/password"
}

install() {
	root
	if [ -e "$prefix/bin/baetyl" ] && ! owned && [ ! -e "$prefix/share/baetyl/installed" ]; then
		ask "$prefix/bin/baetyl is there, and was not installed by a package or by this script. Overwrite it?" ||
			die 'nothing was changed'
	fi
	workplace
	fetch SHA256SUMS
	verify
	version='[0-9][0-9A-Za-z.+~-]*'
	if [ "$family" = archive ]; then
		get "baetyl-$version-$os-$arch\\.tar\\.gz"
		with_archive "$got"
	else
		get "baetyl-$version-linux-$arch\\.$family"
		set -- "$work/$got"
		if [ -n "$example" ]; then
			names=example
			[ "$example" = docker ] || names='example function-python3 function-node'
			for name in $names; do
				get "baetyl-$name-$version\\.$family"
				set -- "$@" "$work/$got"
			done
		fi
		with_packages "$@"
	fi
	share=/usr/share/baetyl
	[ "$family" != archive ] || share=$prefix/share/baetyl
	if [ "$example" = docker ]; then
		[ "$family" = archive ] || act "$share/import.sh" --remove "$prefix" native
		act "$share/import.sh" "$prefix" docker
	elif [ "$example" = native ] && [ "$family" = archive ]; then
		act "$share/import.sh" "$prefix" native
	fi
	finish
}

# remove_archive removes what with_archive has put there, but for what was changed since.
remove_archive() {
	list=$prefix/share/baetyl/installed
	[ -f "$list" ] || [ -n "$purge" ] || die "nothing that this script has installed is in $prefix"
	if [ "$os" = linux ] && systemd_runs && [ -e /etc/systemd/system/baetyl.service ]; then
		act systemctl disable --now baetyl
		act rm -f /etc/systemd/system/baetyl.service
	fi
	[ ! -f "$list" ] || while read -r sum file; do
		case $file in
		*..*) die "$list names a file outside of $prefix: $file" ;;
		etc/* | var/*)
			if [ -z "$purge" ] && [ -e "$prefix/$file" ] && [ "$(digest "$prefix/$file")" != "$sum" ]; then
				say "kept $prefix/$file: it was changed"
				continue
			fi
			;;
		esac
		act rm -f "$prefix/$file"
	done <"$list"
	act rm -f "$list"
	if [ -n "$purge" ]; then
		for folder in etc/baetyl var/db/baetyl var/log/baetyl var/run/baetyl; do act rm -rf "${prefix:?}/$folder"; done
	fi
	[ -n "$dry" ] || for folder in share/baetyl share/man/man1 share/bash-completion share/fish share/zsh \
		etc/baetyl var/run/baetyl var/log/baetyl var/db/baetyl; do
		[ ! -d "$prefix/$folder" ] || find "$prefix/$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
	done
	# A folder of choice is this script's own; /usr/local is not.
	[ -n "$dry" ] || [ "$prefix" = /usr/local ] ||
		for folder in share/man bin share etc var/db var/log var/run var .; do
			rmdir "$prefix/$folder" 2>/dev/null || true
		done
}

uninstall() {
	root
	names='baetyl-example baetyl-function-python3 baetyl-function-node baetyl'
	if ! owned; then
		remove_archive
	elif [ "$family" = deb ]; then
		here=''
		for name in $names; do dpkg-query -W "$name" >/dev/null 2>&1 && here="$here $name"; done
		# shellcheck disable=SC2086
		if [ -n "$purge" ]; then act $dpkg --purge $here; else act $dpkg --remove $here; fi
	else
		for name in $names; do ! $rpm -q "$name" >/dev/null 2>&1 || act $rpm -e "$name"; done
		[ -z "$purge" ] || for folder in etc/baetyl var/db/baetyl var/log/baetyl var/run/baetyl; do
			act rm -rf "/usr/local/$folder"
		done
	fi
}

machine
if [ -n "$uninstall" ]; then uninstall; else install; fi
