#!/bin/sh
# base-image.sh: base images for the function runtimes, made without a registry, for tests. Each is Debian by
# debootstrap with
#
#   python36   pyenv's Python 3.6 where it is installed, as python:3.6-slim has it; otherwise Debian's own Python 3
#   python27   pyenv's Python 2.7; without it there is no such image
#   node85     Node 8.17 and npm 6, as node:8-slim has them
#
# and what bin/prepare will ask a package index for, so that images are built with no network. Prints the
# variables for scripts/image.sh, one a line: BASE_PYTHON36=baetyl-test/base-python36. Results are cached in
# output/cache/base. Needs root on Debian or Ubuntu.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
exec 3>&1 1>&2 # progress goes to stderr, only the variables to stdout
PATH=$PATH:/usr/sbin:/sbin
cache=$PWD/output/cache/base
node=8.17.0
npm=6.14.18
mkdir -p "$cache"
export PIP_DISABLE_PIP_VERSION_CHECK=1

# wheels PYTHON DIR: what requirements.txt names for this Python, and a pip.conf that looks nowhere else.
wheels() {
	"$1" -W ignore -m pip download -q --only-binary grpcio,protobuf -d "$2/wheels" \
		-r baetyl-function-python/requirements.txt
	mkdir -p "$2/etc"
	printf '[global]\nno-index = true\nfind-links = /wheels\nbreak-system-packages = true\n' >"$2/etc/pip.conf"
}

# failed shows why docker could not build an image, and ends the script.
failed() {
	cat "$cache/build.log"
	exit 1
}

# pyenv_tree VERSION: the folder of pyenv's newest Python of VERSION.
pyenv_tree() {
	found=''
	for tree in "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*; do [ ! -x "$tree/bin/python$1" ] || found=$tree; done
	[ -n "$found" ] && echo "$found"
}

# copy_pyenv VERSION TREE PIP DIR: the tree, the shared libraries that it has from this machine and Debian's root
# lacks, and that pip.
copy_pyenv() {
	mkdir -p "$4/usr/local/lib/host"
	tar -C "$2" --exclude=test --exclude=tests --exclude=__pycache__ --exclude='*.a' --exclude='*.pyc' -c . |
		tar -C "$4/usr/local" -x
	tar -tf "$cache/debian.tar" | sed 's|.*/||' | sort -u >"$cache/debian.names"
	find "$4/usr/local" \( -name '*.so*' -o -name "python$1" \) -type f -exec ldd {} + |
		awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
		while read -r lib; do
			grep -qxF "${lib##*/}" "$cache/debian.names" || cp -L "$lib" "$4/usr/local/lib/host"
		done
	"$4/usr/local/bin/python$1" -W ignore -m pip install -q "pip==$3"
	wheels "$4/usr/local/bin/python$1" "$4"
}

python27() {
	tree=$(pyenv_tree 2.7)
	copy_pyenv 2.7 "$tree" 20.3.4 "$1"
}

python36() {
	if tree=$(pyenv_tree 3.6); then
		copy_pyenv 3.6 "$tree" 21.3.1 "$1"
		return
	fi
	/usr/bin/python3 -m venv "$cache/venv"
	wheels "$cache/venv/bin/python" "$1"
	mkdir -p "$1/usr/local/bin"
	ln -s /usr/bin/python3 "$1/usr/local/bin/python"
}

node85() {
	case $(uname -m) in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) return 1 ;; esac
	npm install --silent --no-audit --no-fund --no-save --ignore-scripts --prefix "$1/fetched" \
		"node-linux-$arch@$node" "npm@$npm"
	mkdir -p "$1/usr/local/bin" "$1/usr/local/lib/node_modules" "$1/usr/local/etc" "$1/package"
	mv "$1/fetched/node_modules/node-linux-$arch/bin/node" "$1/usr/local/bin/node"
	mv "$1/fetched/node_modules/npm" "$1/usr/local/lib/node_modules/npm"
	rm -rf "$1/fetched"
	ln -s ../lib/node_modules/npm/bin/npm-cli.js "$1/usr/local/bin/npm"
	cp baetyl-function-node85/package.json baetyl-function-node85/package-lock.json "$1/package"
	PATH=$1/usr/local/bin:$PATH npm ci --silent --ignore-scripts --prefix "$1/package" --cache "$1/npm-cache"
	rm -rf "$1/package"
	# The keys of the cache are the addresses that its entries came from.
	printf 'cache=/npm-cache\noffline=true\nregistry=%s\n' "$(npm config get registry 2>/dev/null)" \
		>"$1/usr/local/etc/npmrc"
}

scripts/debian-root.sh >/dev/null
# What an image depends on; another stamp makes it anew.
stamp=$(cat "$0" baetyl-function-python/requirements.txt baetyl-function-node85/package-lock.json | cksum | tr ' ' -)
for runtime in python27 python36 node85; do
	image=baetyl-test/base-$runtime
	if [ "$(docker image inspect --format '{{.Config.Labels.stamp}}' "$image" 2>/dev/null)" != "$stamp" ]; then
		dir=$cache/$runtime
		if [ "$(cat "$dir.stamp" 2>/dev/null)" != "$stamp" ]; then
			step "laying out $image"
			rm -rf "$dir" "$dir.stamp"
			mkdir -p "$dir"
			# Not `$runtime || …`: that would turn set -e off inside of the function.
			(set -e && "$runtime" "$dir") &
			wait $! || {
				note "$image cannot be made on this machine"
				continue
			}
			echo "$stamp" >"$dir.stamp"
		fi
		docker image inspect baetyl-test/debian >/dev/null 2>&1 ||
			docker import "$cache/debian.tar" baetyl-test/debian >/dev/null
		step "building $image"
		docker build --quiet --label "stamp=$stamp" --tag "$image" --file - "$dir" \
			>"$cache/build.log" 2>&1 <<END || failed
FROM baetyl-test/debian
COPY . /
RUN echo /usr/local/lib/host >/etc/ld.so.conf.d/zz-host.conf && ldconfig
ENV PATH=/usr/local/bin:/usr/bin:/bin NPM_CONFIG_GLOBALCONFIG=/usr/local/etc/npmrc
END
	fi
	echo "BASE_$(echo "$runtime" | tr '[:lower:]' '[:upper:]')=$image" >&3
done
