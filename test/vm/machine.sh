#!/bin/sh
# machine.sh COMMAND DIR …: a real machine for tests, in emulation: Debian with systemd, cgroup v2 and AppArmor, and a
# disk that forgets what was not flushed when the power is cut. build.sh makes what it starts from.
#
#   up      boots, and returns when the machine takes commands. The first time its disk is a copy of that in the cache.
#           FORWARD   ports of the machine to reach from here ('1883 8080'); DIR/port.1883 has the number on 127.0.0.1
#           VM_CACHE  what build.sh has made (output/cache/vm)
#           APPEND    to the command line of the kernel
#           MEMORY    in MB (2048), CORES (2), CLOCK where the clock starts (now, UTC)
#   run     a command as root, with its input, output and status (255: no connection). The machine's shell reads it
#   copy    SOURCE DEST: the folder SOURCE becomes DEST, or goes into it; everything belongs to root
#   cut     a power cut: whatever the machine wrote and did not flush is gone
#   reboot  an orderly restart
#   wait    ID: until the machine takes commands and its boot has another id than ID (after system_reset in DIR/monitor)
#   down    an orderly end; the disk stays
#   remove  an end, and DIR goes too
#
#     ext4 ── virtio-blk ── QEMU ── nbdkit, cache filter (writeback) ── disk.img
#                                   └ unflushed blocks only here, in a nameless file: kill -9 loses them, and only them
#
# A plain QEMU disk keeps unflushed writes in this host's memory, which a kill does not lose. Processes are ended by
# recorded number and start time, never by name.
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
cache=${VM_CACHE:-$here/../../output/cache/vm}
PATH=$PATH:/usr/sbin:/sbin

die() {
	echo "machine.sh: $*" >&2
	exit 1
}

# started PID: when that process started, so that a number that was given out again is not taken for ours. Nothing for
# one that has ended.
started() {
	sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }' # state is the third field of the line
}

# keep NAME PID: records a process in DIR/NAME.pid.
keep() { echo "$2 $(started "$2")" >"$dir/$1.pid"; }

# alive NAME: prints the number of a recorded process that still runs; fails when there is none.
alive() {
	[ -e "$dir/$1.pid" ] || return 1
	read -r pid at <"$dir/$1.pid"
	[ -n "$at" ] && [ "$(started "$pid")" = "$at" ] && echo "$pid"
}

need() { alive "$1" || die "the machine in $dir is down"; }
gone() { ! alive "$1"; }

# await TENTHS CMD…: polls ten times a second; fails when the time is over.
await() {
	left=$1
	shift
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ "$left" -gt 0 ] || return 1
		sleep 0.1
	done
}

# end NAME SIGNAL: sends the signal to a recorded process, waits until it has ended, and kills it after 30 s.
end() {
	if pid=$(alive "$1"); then
		kill "-$2" "$pid" 2>/dev/null || true
		await 300 gone "$1" || kill -KILL "$pid"
		await 50 gone "$1" || die "$1 does not end"
	fi
	rm -f "$dir/$1.pid"
}

# forget: closes the kept connection.
forget() {
	[ ! -S "$dir/ssh" ] || timeout 5 ssh -F "$dir/ssh.conf" -O exit edge 2>/dev/null || true
	rm -f "$dir/ssh"
}

# boot OLD: waits until the machine takes commands, ten minutes at most; its boot must have another id than OLD.
boot() {
	deadline=$(($(date +%s) + 600))
	limit=5 # seconds; more each time, for a machine that is slow, not away
	until id=$(timeout $((limit * 3)) ssh -F "$dir/ssh.conf" -o ControlPath=none -o "ConnectTimeout=$limit" edge -- \
		cat /proc/sys/kernel/random/boot_id </dev/null 2>/dev/null) && [ "$id" != "$1" ]; do
		alive qemu >/dev/null || die "the machine stopped: $(tail -n 3 "$dir/qemu.log")"
		[ "$(date +%s)" -lt "$deadline" ] || die "no commands after ten minutes: $(tail -n 5 "$dir/console.log")"
		[ "$limit" -ge 20 ] || limit=$((limit + 1))
		sleep 0.5
	done
}

# free: a port that nothing listens on.
free() {
	awk 'BEGIN { srand(); for (n = 0; n < 100; n++) print int(20000 + rand() * 12000) }' | while read -r near; do
		[ -n "$(ss -Hltn "sport = :$near")" ] || [ -n "$(grep -ls "^$near\$" "$dir"/port.* || true)" ] || {
			echo "$near"
			break
		}
	done
}

up() {
	! alive qemu >/dev/null || die "the machine in $dir is up"
	[ "${#dir}" -le 80 ] || die 'the path of DIR is too long for the sockets in it: 80 letters at most'
	if [ ! -e "$dir/disk.img" ]; then
		[ -s "$cache/stamp" ] || die "nothing built in $cache: run test/vm/build.sh first"
		cp "$cache/key" "$cache/vmlinuz" "$cache/first.gz" "$dir/"
		cp --sparse=always --reflink=auto "$cache/disk.img" "$dir/disk.new"
		mv "$dir/disk.new" "$dir/disk.img"
	fi
	end nbdkit KILL
	forget
	rm -f "$dir/nbdkit.number" "$dir/nbd.sock" "$dir/monitor" "$dir"/port.*

	# In the foreground nbdkit would end with this shell: it goes to the background by itself. In a session of its own,
	# so that a Ctrl-C for the tests does not take the disk away from a machine that is still up.
	TMPDIR=$dir setsid nbdkit -P "$dir/nbdkit.number" -U "$dir/nbd.sock" \
		--filter=cache file "$dir/disk.img" cache=writeback
	await 600 test -s "$dir/nbdkit.number" || die 'nbdkit does not start'
	keep nbdkit "$(cat "$dir/nbdkit.number")"

	net=user,id=n,restrict=on
	for port in 22 ${FORWARD:-}; do
		near=$(free)
		echo "$near" >"$dir/port.$port"
		net=$net,hostfwd=tcp:127.0.0.1:$near-:$port
	done
	# One connection is kept open and shared, since a handshake takes a second or more in emulation.
	cat >"$dir/ssh.conf" <<-END
		Host edge
		HostName 127.0.0.1
		Port $(cat "$dir/port.22")
		User root
		IdentityFile $dir/key
		BatchMode yes
		StrictHostKeyChecking no
		UserKnownHostsFile /dev/null
		LogLevel ERROR
		ConnectTimeout 60
		ServerAliveInterval 5
		ServerAliveCountMax 24
		ControlMaster auto
		ControlPath $dir/ssh
		ControlPersist 3600
		Ciphers aes128-ctr
	END
	# reboot=k: by the way that Linux takes otherwise (ACPI) a restart takes half a minute longer.
	setsid qemu-system-x86_64 -accel tcg,thread=multi -cpu max -M q35 -m "${MEMORY:-2048}" -smp "${CORES:-2}" \
		-nodefaults -display none -kernel "$dir/vmlinuz" -initrd "$dir/first.gz" \
		-append "console=ttyS0 quiet reboot=k ${APPEND:-}" -rtc "base=${CLOCK:-utc}" \
		-drive "file=nbd+unix:///?socket=$dir/nbd.sock,format=raw,if=none,id=d,cache=writeback" \
		-device virtio-blk-pci,drive=d -netdev "$net" -device virtio-net-pci,netdev=n,id=cable \
		-chardev "file,id=c,path=$dir/console.log,append=on" -serial chardev:c \
		-monitor "unix:$dir/monitor,server=on,wait=off" </dev/null >"$dir/qemu.log" 2>&1 &
	keep qemu $!
	boot ''
}

cut() {
	disk=$(need nbdkit)
	machine=$(need qemu)
	kill -STOP "$machine" # a machine that runs on for a moment without its disk is another kind of fault
	kill -KILL "$disk" "$machine"
	end qemu KILL
	end nbdkit KILL
	forget
}

reboot() {
	need qemu >/dev/null
	before=$(timeout 60 ssh -F "$dir/ssh.conf" edge -- cat /proc/sys/kernel/random/boot_id)
	timeout 20 ssh -F "$dir/ssh.conf" edge -- systemctl --no-block reboot || true
	forget
	boot "$before"
}

down() {
	if alive qemu >/dev/null; then
		timeout 20 ssh -F "$dir/ssh.conf" edge -- systemctl --no-block poweroff || true
		await 600 gone qemu || echo 'the machine did not shut down in a minute: killed' >&2
	fi
	end qemu TERM
	end nbdkit TERM
	forget
}

[ $# -ge 2 ] || die 'usage: machine.sh COMMAND DIR …; the head of this file names the commands'
command=$1
[ "$command" = up ] || [ -d "$2" ] || die "$2: no machine there"
mkdir -p "$2"
dir=$(cd "$2" && pwd -P)
shift 2
case $command in
up | cut | reboot | down) "$command" ;;
run)
	need qemu >/dev/null
	exec ssh -F "$dir/ssh.conf" edge -- "$@"
	;;
copy)
	need qemu >/dev/null
	tar --owner=0 --group=0 -C "$1" -c . | ssh -F "$dir/ssh.conf" edge -- "mkdir -p '$2' && tar -C '$2' -x"
	;;
wait)
	forget
	boot "$1"
	;;
remove)
	end qemu KILL
	end nbdkit TERM
	forget
	[ ! -e "$dir/vmlinuz" ] || rm -rf "$dir"
	;;
*) die "$command: no such command" ;;
esac
