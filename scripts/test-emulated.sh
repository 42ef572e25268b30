#!/bin/sh
# The unit tests on other processors, which qemu-user emulates: test-emulated.sh [arm|arm64]. GOTESTFLAG adds flags to
# go test.
#
# The emulator runs one program, and none that this one starts. So these are left out: the packages whose tests start
# modules, services, commands or containers (cmd, keeper, the engines, the agent, SQL, instances of functions, the SDK's
# life of a module, test/*), the Python and Node runtimes, which are programs of others, and of the rest the tests in
# `starts`. Those in `lacks` ask the kernel what the emulator does not pass on.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
want 'qemu-user' qemu-user-static 'tests on emulated processors are left out' command -v qemu-aarch64-static ||
	exit "${CI:+1}"
export CGO_ENABLED=0

packages='baetyl-(hub|timer)|baetyl-remote-mqtt/(bridge|config|deadletter)|baetyl-agent/[b-z]*'
packages="$packages|baetyl-function-manager/(config|function|pool|rule)"
packages="$packages|master/(api|application|events|health|history|logs|ota|rules)|protocol|sdk/baetyl-go/function|utils"
starts='TestKill|TestRace|TestSeeds|TestConsole|TestLastWords|TestStopInOrder|TestGoFunction'
starts="$starts|TestTheNextServerTakesTheListener|TestWhoMayUseWhichSocket|TestThereIsNoGroup"
lacks='TestLimitOfOpenFiles'

emulate() {
	step "unit tests on $1"
	# shellcheck disable=SC2046,SC2086
	GOARCH=$1 GOARM=7 go test -p 3 -timeout 60m -exec "$2" -skip "^($starts|$lacks)" ${GOTESTFLAG:-} \
		$(go list ./... | grep -E "/($packages)(/|\$)")
}
for arch in ${1:-arm arm64}; do
	case $arch in
	arm) emulate arm qemu-arm-static ;;
	arm64) emulate arm64 qemu-aarch64-static ;;
	esac
done
