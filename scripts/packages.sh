#!/bin/sh
# packages.sh [TARGET…]: packages of the program and of the runtimes, into $OUT (default output/packages). TARGET is
# amd64, 386, arm7 or arm64 (deb, rpm, tar.gz), darwin-amd64 or darwin-arm64 (tar.gz) or runtimes (deb and rpm for every
# processor: the example and the runtimes for Python and Node); none: all of them.
#
# The same commit gives the same bytes, whoever builds it, where and when: modes, owners and times are not those of this
# machine. make packages sets GO, TAGS, LDFLAGS and VERSION. MINISIGN_KEY is the file of the secret key that signs
# SHA256SUMS, MINISIGN_PUBLIC that of the public one (default: beside it, .pub in place of .key), which goes into
# install.sh; without them there is no signature. SOURCE_DATE_EPOCH is the time of all files; default: that of the
# commit.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
umask 022
export LC_ALL=C TZ=UTC CGO_ENABLED=0
unset GOFLAGS GOAMD64 GO386 GOARM64 GOEXPERIMENT
: "${GO:=go}" "${TAGS:?make packages sets it}" "${LDFLAGS:?make packages sets it}" "${VERSION:?make packages sets it}"
export VERSION
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --pretty=%ct 2>/dev/null)} || {
	note 'not a git checkout: set SOURCE_DATE_EPOCH to the time of the release, in seconds since 1970'
	exit 1
}
export SOURCE_DATE_EPOCH
out=${OUT:-output/packages}
mkdir -p "$out" output/cache
out=$(cd "$out" && pwd)
stage=$out/stage
[ $# -gt 0 ] || set -- amd64 386 arm7 arm64 darwin-amd64 darwin-arm64 runtimes

export MAINTAINER='The Baetyl authors <noreply@baetyl.io>'

# What of Debian is in no package: dpkg would remove it with ours when it is empty.
system='/usr/local /usr/local/bin /usr/local/etc /usr/local/lib /usr/local/share'

# build PATH PACKAGE: one of our programs, for GOOS, GOARCH and GOARM.
build() { "$GO" build -buildvcs=false -trimpath -tags "$TAGS" -ldflags "$LDFLAGS" -o "$1" "$2"; }

# put FILE TO: a copy that nobody but its owner writes to.
put() {
	mkdir -p "$(dirname "$2")"
	cp "$1" "$2"
	chmod 0644 "$2"
}

# script FILE TO: a script of a package, with what all share in front.
script() {
	mkdir -p "$(dirname "$2")"
	{
		printf '#!/bin/sh\nset -e\n'
		grep -v '^# shellcheck shell' packaging/common.sh
		cat "$1"
	} >"$2"
}

# modules DIR: a package of each module that baetyl itself is.
modules() {
	for main in baetyl-*/main.go; do
		module=${main%/main.go}
		.build/installer own "$module" "$1/$module"
	done
}

# papers NAME: what Debian wants to read of every package.
papers() {
	put packaging/lintian "$dir/usr/share/lintian/overrides/$1"
	put packaging/copyright "$dir/usr/share/doc/$1/copyright"
	{
		echo "$1 ($(echo "$VERSION" | sed 's/-/~/')-1) stable; urgency=medium"
		printf '\n  * %s\n\n' 'See https://github.com/baetyl/baetyl/blob/main/CHANGELOG.md'
		echo " -- $MAINTAINER  $(date -u -R -d "@$SOURCE_DATE_EPOCH")"
	} | gzip -9n >"$dir/usr/share/doc/$1/changelog.Debian.gz"
	chmod 0644 "$dir/usr/share/doc/$1/changelog.Debian.gz"
}

# scripts NAME: those of the package NAME for both formats.
scripts() {
	for format in deb rpm; do
		for file in "packaging/$format/$1"/*; do script "$file" "$dir/$format/${file##*/}"; done
	done
}

# helps MAN BASH FISH ZSH: the man page and what completes commands in shells, into those folders of $dir.
helps() {
	for folder in "$@"; do mkdir -p "$folder"; done
	gzip -9nc docs/man/baetyl.1 >"$1/baetyl.1.gz"
	completion bash "$2/baetyl"
	completion fish "$3/baetyl.fish"
	completion zsh "$4/_baetyl"
}

# completion SHELL TO: made by a program for this machine, whatever the package is for.
completion() {
	[ -n "$hosted" ] || GOOS='' GOARCH='' GOARM='' build .build/host .
	hosted=1
	.build/host completion "$1" >"$2"
}
hosted=''

# nfpm NAME FORMAT ARCH FILE: a package out of the folder that is laid out in $dir.
nfpm() {
	find "$dir" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	(cd "$dir" && ARCH=$3 "$root/output/cache/nfpm" package \
		-f "$root/packaging/nfpm/$1.yaml" -p "$2" -t "$out/$4" >/dev/null)
	# shellcheck disable=SC2086
	[ "$2" != deb ] || .build/packer shared "$out/$4" $system
}

# archive OS ARCH: a tar.gz for /usr/local, or for any other folder.
archive() {
	name=baetyl-$VERSION-$1-$2
	tree=$dir.tar/$name
	rm -rf "$dir.tar"
	mkdir -p "$tree/bin" "$tree/share/baetyl"
	cp "$dir/usr/local/bin/baetyl" "$tree/bin/baetyl"
	cp -R packaging/minimal/etc packaging/minimal/var "$tree"
	modules "$tree/var/db/baetyl"
	put LICENSE "$tree/share/baetyl/LICENSE"
	helps "$tree/share/man/man1" "$tree/share/bash-completion/completions" "$tree/share/fish/vendor_completions.d" \
		"$tree/share/zsh/site-functions"
	mkdir -p "$tree/share/baetyl/example"
	cp -R packaging/minimal packaging/import.sh "$tree/share/baetyl"
	cp -RL example/native example/docker "$tree/share/baetyl/example"
	if [ "$1" = darwin ]; then
		put packaging/io.baetyl.plist "$tree/share/baetyl/io.baetyl.plist"
	else
		put scripts/systemd/baetyl.service "$tree/share/baetyl/baetyl.service"
	fi
	chmod -R u=rwX,go=rX "$tree"
	tar -C "$dir.tar" --format=ustar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
		-cf - "$name" | gzip -9n >"$out/$name.tar.gz"
}

# system_files: what the packages for Linux have besides the program.
system_files() {
	for file in etc/baetyl/conf.yml var/db/baetyl/localhub-conf/service.yml; do
		put "packaging/minimal/$file" "$dir/usr/local/$file"
	done
	modules "$dir/usr/local/var/db/baetyl/packages"
	mkdir -p "$dir/usr/share/baetyl"
	cp -R packaging/minimal "$dir/usr/share/baetyl/minimal"
	put scripts/systemd/baetyl.service "$dir/usr/lib/systemd/system/baetyl.service"
	put packaging/baetyl.sysusers "$dir/usr/lib/sysusers.d/baetyl.conf"
	put packaging/baetyl.tmpfiles "$dir/usr/lib/tmpfiles.d/baetyl.conf"
	helps "$dir/usr/share/man/man1" "$dir/usr/share/bash-completion/completions" \
		"$dir/usr/share/fish/vendor_completions.d" "$dir/zsh"
	papers baetyl
	scripts baetyl
}

# program OS ARCH: everything with a program for that processor. Names of ARCH: those of Go, and arm7.
program() {
	dir=$stage/$1-$2
	goarm='' goarch=$2
	[ "$2" != arm7 ] || goarm=7 goarch=arm
	step "baetyl $VERSION for $1 $2"
	rm -rf "$dir"
	mkdir -p "$dir/usr/local/bin"
	GOOS=$1 GOARCH=$goarch GOARM=$goarm build "$dir/usr/local/bin/baetyl" .
	.build/packer sbom "$dir/usr/local/bin/baetyl" "$VERSION" "$out/baetyl-$VERSION-$1-$2.cdx.json"
	archive "$1" "$2"
	[ "$1" = linux ] || return 0
	system_files
	for format in deb rpm; do nfpm baetyl "$format" "$2" "baetyl-$VERSION-linux-$2.$format"; done
}

# both NAME: deb and rpm of what has no program.
both() {
	find "$dir/usr" -type d -exec chmod 0755 {} +
	for format in deb rpm; do nfpm "$1" "$format" all "$1-$VERSION.$format"; done
}

# example: the samples of the documents, and what puts them in place.
example() {
	dir=$stage/example
	step 'baetyl-example'
	mkdir -p "$dir/usr/share/baetyl/example"
	cp -RL example/native example/docker "$dir/usr/share/baetyl/example"
	cp packaging/import.sh "$dir/usr/share/baetyl/import.sh"
	chmod -R u=rwX,go=rX "$dir/usr"
	papers baetyl-example
	scripts baetyl-example
	both baetyl-example
}

# python3: the runtime with PyYAML, as Python alone. gRPC is not needed where the function manager uses the pipe.
python3_runtime() {
	dir=$stage/python3
	package=$dir/usr/local/var/db/baetyl/baetyl-function-python36
	step 'baetyl-function-python3'
	mkdir -p "$package/venv/bin" "$dir/wheel"
	for file in package.yml function.yml bin lib requirements.txt; do
		cp -RL "baetyl-function-python36/$file" "$package/$file"
	done
	ln -s /usr/bin/python3 "$package/venv/bin/python"
	(cd packaging && python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
		--only-binary :all: --python-version 3.6 --platform manylinux2014_x86_64 -d "$dir/wheel" -r python3.txt)
	(cd "$package/lib" && python3 -m zipfile -e "$dir"/wheel/*.whl .)
	rm -rf "$package"/lib/*.dist-info "$package"/lib/_yaml "$package"/lib/PyYAML.libs "$package"/lib/yaml/*.so "$dir/wheel"
	find "$package" -name __pycache__ -prune -exec rm -rf {} +
	chmod -R u=rwX,go=rX "$dir/usr"
	papers baetyl-function-python3
	scripts baetyl-function-python3
	both baetyl-function-python3
}

# node: the runtime with what package-lock.json pins, none of which is compiled.
node_runtime() {
	dir=$stage/node
	package=$dir/usr/local/var/db/baetyl/baetyl-function-node85
	step 'baetyl-function-node'
	scripts/package-runtime.sh node85 "$package" >/dev/null
	find "$package" \( -name .package-lock.json -o -name .npmignore -o -name .bin \) -prune -exec rm -rf {} +
	chmod -R u=rwX,go=rX "$dir/usr"
	papers baetyl-function-node
	both baetyl-function-node
}

root=$PWD
for tool in installer packer; do GOOS='' GOARCH='' build ".build/$tool" "./scripts/$tool"; done
for tool in github.com/goreleaser/nfpm/v2/cmd/nfpm aead.dev/minisign/cmd/minisign; do
	(cd tools/packages && GOOS='' GOARCH='' "$GO" build -trimpath -o "$root/output/cache/${tool##*/}" "$tool")
done
for target in "$@"; do
	case $target in
	amd64 | 386 | arm7 | arm64) program linux "$target" ;;
	darwin-amd64 | darwin-arm64) program darwin "${target#darwin-}" ;;
	runtimes)
		example
		python3_runtime
		node_runtime
		;;
	*)
		note "$target is no target: amd64, 386, arm7, arm64, darwin-amd64, darwin-arm64, runtimes"
		exit 2
		;;
	esac
done
rm -rf "$stage"
key=''
[ -z "${MINISIGN_KEY:-}" ] || key=$(tail -n 1 "${MINISIGN_PUBLIC:-${MINISIGN_KEY%.key}.pub}")
sed "s|^public_key=''|public_key='$key'|" scripts/install.sh >"$out/install.sh"
sed "s|^example=''|example=docker|" "$out/install.sh" >"$out/install_with_docker_example.sh"
chmod 0755 "$out/install.sh" "$out/install_with_docker_example.sh"
step "checksums in $out/SHA256SUMS"
(cd "$out" && for file in *-"$VERSION"[.-]*; do sha256sum "$file"; done >SHA256SUMS)
if [ -n "${MINISIGN_KEY:-}" ]; then
	output/cache/minisign -S -s "$MINISIGN_KEY" -c "SHA256SUMS of baetyl $VERSION" \
		-x "$out/SHA256SUMS.minisig" -t "baetyl $VERSION" -m "$out/SHA256SUMS"
else
	note 'not signed: MINISIGN_KEY names no key'
fi
