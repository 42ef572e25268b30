#!/bin/sh
# The unit tests as a program of 386, which a processor of amd64 runs as it is: an int has 32 bits there. go vet for
# the other processors finds what does not compile. GOTESTFLAG adds flags to go test.
#
# Left out are the tests that start the installed system or containers, and those of the Python and Node runtimes:
# they test other programs, which have no 386 here. The race detector does not know 386. SHORT=1 tests the packages that
# read and write numbers of others: the hub, SQL, protocols, the SDK and utils. What starts processes again and again
# takes as long as all of them, and has few large numbers.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
export CGO_ENABLED=0

for arch in 386 arm arm64; do
	[ -z "${SHORT:-}" ] || [ "$arch" = 386 ] || continue # the others have no code of ours that it has not
	step "go vet for $arch"
	GOOS=linux GOARCH=$arch go vet ./...
done
case $(uname -s)-$(uname -m) in
Linux-x86_64 | Linux-amd64 | Linux-i?86) ;;
*)
	note "the tests of 386 run on Linux on amd64; here is $(uname -s) on $(uname -m): they are left out"
	exit 0
	;;
esac
step 'unit tests on 386'
some=${SHORT:+/(baetyl-hub|baetyl-function-sql|protocol|sdk|utils)(/|\$)}
others='/test/e2e$|/master/engine/docker$|/baetyl-function-(python|node85)$'
# shellcheck disable=SC2046,SC2086
GOARCH=386 go test -p 4 -timeout 30m ${GOTESTFLAG:-} $(go list ./... | grep -vE "$others" | grep -E "${some:-.}")
