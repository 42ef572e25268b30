# shellcheck shell=sh
# Shell functions that the scripts of this folder share; sourced, never run.

# step prints a line of progress.
step() { printf '%s\n' "==> $*"; }

# note prints what the user may want to know, and goes on.
note() { printf '%s\n' "    $*"; }

# can_apt tells whether packages can be installed here without asking: Debian or Ubuntu, root or passwordless sudo.
can_apt() {
	command -v apt-get >/dev/null 2>&1 || return 1
	[ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null
}

# apt_install installs packages, or fails. The first call of a run refreshes the lists.
apt_install() {
	as_root=''
	[ "$(id -u)" = 0 ] || as_root='sudo -n'
	if [ -z "${apt_lists_are_fresh:-}" ]; then
		# A failing mirror among several must not stop the installation from the others.
		$as_root apt-get update -q >/dev/null 2>&1 || true
		apt_lists_are_fresh=1
	fi
	# shellcheck disable=SC2086
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1
}

# want NAME PACKAGES CONSEQUENCE CHECK…: where the command CHECK fails, installs PACKAGES with apt where that is
# possible, and otherwise says the command to type and what will be missing. Returns whether CHECK holds in the end.
want() {
	want_name=$1 want_packages=$2 want_consequence=$3
	shift 3
	"$@" >/dev/null 2>&1 && return 0
	if can_apt; then
		step "installing $want_name (apt-get install $want_packages)"
		# shellcheck disable=SC2086
		apt_install $want_packages && "$@" >/dev/null 2>&1 && return 0
	fi
	note "missing: $want_name ($want_consequence). To install: sudo apt-get install $want_packages"
	return 1
}
