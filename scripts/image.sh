#!/bin/sh
# image.sh MODULE…: the docker image of each module. Its name is IMAGE_PREFIX, the module, a colon and TAG.
#
#   IMAGE_PREFIX   what stands before the name, with its slash: registry.example.com/baetyl/
#   TAG            latest
#   PLATFORMS      as linux/amd64,linux/arm64,linux/arm/v7,linux/386; by default that of the docker daemon. Of several,
#                  each gets the tag TAG-linux-<arch>, and TAG is the one of the daemon, or all of them where the daemon
#                  keeps such images
#   BASE_PYTHON27, BASE_PYTHON36, BASE_NODE85   base images of the runtimes; their Dockerfiles name the default
#   RUNTIME_USER   who runs the code of functions: nobody
#   BUILD_NETWORK  network of a runtime's build, as docker build --network takes it: none is enough for a base that
#                  brings the packages
#   GO, LDFLAGS, TAGS, VERSION, REVISION        as the Makefile has them
#
# A Go module is compiled here, so its build fetches nothing; that of a runtime fetches what bin/prepare does.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
out=.build/image
installer=.build/installer

if ! answer=$(docker version 2>&1); then
	printf '%s\n' "$answer" | tail -n 1 >&2
	echo 'image.sh: an image needs docker and a daemon that answers; see docs/images.md' >&2
	exit 1
fi
mkdir -p "$out"

# build ARGUMENT…: docker build, whose output is shown only when it fails. buildx is used where it is installed,
# otherwise the builder that every daemon has.
if docker buildx version >/dev/null 2>&1; then
	run_build() { docker buildx build --load --provenance=false "$@"; }
	# Only this image store keeps images of several platforms.
	several=$(docker info --format '{{.DriverStatus}}' | grep io.containerd.snapshotter || true)
else
	run_build() { DOCKER_BUILDKIT=0 docker build --force-rm "$@"; }
	several=''
fi
build() {
	run_build "$@" >"$out/log" 2>&1 && return
	cat "$out/log" >&2
	return 1
}

# platform NAME: the same for linux/arm and linux/arm/v7.
platform() { case $1 in linux/arm) echo linux/arm/v7 ;; *) echo "$1" ;; esac; }

# suffix PLATFORM: linux/arm/v7 is linux-armv7 in a tag.
suffix() { echo "$1" | sed 's|/|-|; s|/||g'; }

own=$(platform "$(docker version --format '{{.Server.Os}}/{{.Server.Arch}}')")
platforms=''
for p in $(echo "${PLATFORMS:-$own}" | tr ',' ' '); do platforms="$platforms $(platform "$p")"; done

# compile MODULE PLATFORM FILE
compile() {
	variant=${2#linux/*/}
	[ "$variant" != "$2" ] || variant=''
	arch=${2#linux/}
	CGO_ENABLED=0 GOOS=linux GOARCH="${arch%%/*}" GOARM="${variant#v}" \
		"${GO:-go}" build -buildvcs=false -trimpath -tags "timetzdata${TAGS:+,$TAGS}" \
		-ldflags "${LDFLAGS:-}" -o "$3" "./$1"
}

# context MODULE: lays out the folder $out/MODULE that is sent to the daemon.
context() {
	rm -rf "${out:?}/$1"
	mkdir -p "$out/$1"
	if [ ! -f "$1/main.go" ]; then
		"$installer" unpack "$1/package.zip" "$out/$1"
		return
	fi
	for p in $platforms; do
		root=$out/$1/$p
		mkdir -p "$root/bin" "$root/etc/ssl/certs"
		mkdir -m 1777 "$root/tmp"
		compile "$1" "$p" "$root/bin/$1"
		"$installer" roots "$root/etc/ssl/certs/ca-certificates.crt"
	done
}

# dockerfile MODULE PLATFORM: a runtime has its own, Go modules share one. The old builder does not know
# TARGETPLATFORM, and a step that is the same for all platforms would mix them up in its cache; so it gets the
# platform in writing.
dockerfile() {
	if [ -f "$1/Dockerfile" ]; then
		cat "$1/Dockerfile"
	elif docker buildx version >/dev/null 2>&1; then
		sed "s/MODULE/$1/g" Dockerfile
	else
		sed "s/MODULE/$1/g; /^ARG TARGETPLATFORM/d; s|\$TARGETPLATFORM|$2|g" Dockerfile
	fi
}

# image MODULE PLATFORM[,PLATFORM…] NAME:TAG…
image() {
	module=$1 target=$2
	shift 2
	for tag in "$@"; do
		set -- "$@" --tag "$tag"
		shift
	done
	base=$(printf %s "${module#baetyl-function-}" | tr 'a-z-' 'A-Z_')
	eval "base=\${BASE_$base:-}"
	[ -z "$base" ] || set -- "$@" --build-arg "BASE=$base"
	[ -z "${RUNTIME_USER:-}" ] || set -- "$@" --build-arg "USER=$RUNTIME_USER"
	[ -z "${BUILD_NETWORK:-}" ] || set -- "$@" --network "$BUILD_NETWORK"
	dockerfile "$module" "$target" >"$out/Dockerfile"
	build "$@" --platform "$target" --file "$out/Dockerfile" \
		--label "org.opencontainers.image.title=$module" \
		--label "org.opencontainers.image.version=${VERSION:-}" \
		--label "org.opencontainers.image.revision=${REVISION:-}" \
		--label org.opencontainers.image.source=https://github.com/baetyl/baetyl \
		--label org.opencontainers.image.licenses=Apache-2.0 \
		"$out/$module"
}

for module in "$@"; do
	name=${IMAGE_PREFIX:-}$module:${TAG:-latest}
	step "building $name"
	context "$module"
	for p in $platforms; do
		tags=$name
		if [ "$platforms" != " $p" ]; then
			tags=$name-$(suffix "$p")
			[ "$p" != "$own" ] || tags="$tags $name"
		fi
		# shellcheck disable=SC2086
		image "$module" "$p" $tags || {
			note "$name could not be built for $p (see above)"
			exit 1
		}
		note "$p: $(docker image inspect --format '{{.Size}}' "${tags%% *}" | awk '{ printf "%.1f MB", $1 / 1e6 }')"
	done
	if [ -n "$several" ] && [ "$platforms" != " $p" ]; then
		image "$module" "$(echo "${platforms# }" | tr ' ' ,)" "$name"
	fi
done
