#!/bin/sh
# build.sh: makes what every test machine starts from: a kernel, a disk with Debian, an ssh key. It goes into
# output/cache/vm, or into VM_CACHE.
# Does nothing where that is done already. Needs root on Debian or Ubuntu, and takes two minutes.
set -eu
cd "$(dirname "$0")/../.."
. scripts/lib.sh
die() {
	note "$*"
	exit 1
}
PATH=$PATH:/usr/sbin:/sbin
cache=${VM_CACHE:-$PWD/output/cache/vm}
base='systemd systemd-sysv dbus udev kmod iproute2 iptables procps openssh-server apparmor logrotate'
packages='python3 mosquitto-clients curl'
size=4G
version=1 # of what this script makes

# tools tells whether all that this script and machine.sh use is here.
tools() {
	for tool in debootstrap qemu-system-x86_64 nbdkit mke2fs depmod ssh-keygen busybox cpio; do
		command -v "$tool" || return 1
	done
}
want 'a machine in emulation' \
	'debootstrap qemu-system-x86 nbdkit e2fsprogs kmod openssh-client busybox-static cpio' \
	'tests on a real machine are skipped' tools || {
	[ "${CI:-}" != true ] || exit 1
	exit 0
}
stamp="$version $base $packages $size"
[ "$(cat "$cache/stamp" 2>/dev/null)" != "$stamp" ] || exit 0
step 'building a machine for tests'
rm -rf "$cache"
mkdir -p "$cache"
cd "$cache"

# The kernel for clouds, and a first root that loads the driver of the disk. (NVMe would be built in, but QEMU 7.2's
# does not pass on FUA: a journal's commit that it confirms is not on the disk yet.)
package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ { print $2; exit }')
mkdir kernel
(cd kernel && apt-get -q download "$package" >../kernel.log 2>&1) || die "$(tail -n 3 kernel.log)"
dpkg-deb -x kernel/"$package"_*.deb kernel
cp kernel/boot/vmlinuz-* vmlinuz
release=$(basename kernel/lib/modules/*)
depmod -b kernel "$release"
mkdir -p first/bin first/dev first/proc first/sys first/root first/modules
cp "$(command -v busybox)" first/bin/busybox
# modules.dep has a line for each: "driver: what it needs, the last one first".
grep -E '/virtio_(pci|blk)\.ko:' "kernel/lib/modules/$release/modules.dep" | sort -r |
	awk '{ sub(":", "", $1); for (i = NF; i > 1; i--) print $i; print $1 }' | awk '!seen[$0]++' >first/list
while read -r driver; do
	cp "kernel/lib/modules/$release/$driver" first/modules/
done <first/list
cat >first/init <<'END'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
while read -r driver; do /bin/busybox insmod "/modules/${driver##*/}"; done </list
/bin/busybox mount -t ext4 -o ro /dev/vda /root
exec /bin/busybox switch_root /root /sbin/init
END
chmod +x first/init
(cd first && find . | cpio -o -H newc 2>/dev/null | gzip -1) >first.gz

# The mirror is the one that apt uses here.
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
# shellcheck disable=SC2016 # the words are apt's
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' |
	awk -v c="$codename" '$2 == c && $3 == "main" { print $1; exit }')
debootstrap --variant=minbase --include="$(echo "$base $packages" | tr ' ' ,)" "$codename" root "$mirror" \
	>debootstrap.log 2>&1 || die "$(tail -n 5 debootstrap.log)"
mkdir -p root/lib/modules
cp -a "kernel/lib/modules/$release" root/lib/modules/

ssh-keygen -q -t ed25519 -N '' -C '' -f key
install -D -m 600 key.pub root/root/.ssh/authorized_keys
echo edge >root/etc/hostname
echo '127.0.0.1 localhost edge' >root/etc/hosts
echo '/dev/vda / ext4 defaults,errors=remount-ro 0 1' >root/etc/fstab
printf '[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n' >root/etc/systemd/network/10-any.network
mkdir -p root/var/log/journal # so that the journal is kept over reboots
chroot root systemctl -q enable systemd-networkd ssh
# What cleans and indexes by the clock only costs time here.
chroot root systemctl -q mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service \
	man-db.timer getty@tty1.service
rm -rf root/var/cache/apt/archives/*.deb root/var/lib/apt/lists/* root/etc/apt/sources.list
mke2fs -q -t ext4 -d root disk.img "$size" >/dev/null
rm -rf root kernel first
echo "$stamp" >stamp
