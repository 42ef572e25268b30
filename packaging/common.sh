# shellcheck shell=sh
# What the scripts of deb and rpm share: scripts/packages.sh puts it in front of each. POSIX sh, no program that a small
# root lacks, and nothing fails where systemd is not running.
prefix=/usr/local
state="$prefix/etc/baetyl $prefix/var/db/baetyl $prefix/var/log/baetyl $prefix/var/run/baetyl"

systemd_runs() { [ -d /run/systemd/system ]; }

# prepare makes what the package does not bring: group, folders, the application and the password of its hub. What is
# there stays. The application is no configuration file of the package: the cloud may have replaced it.
prepare() {
	if command -v systemd-sysusers >/dev/null 2>&1; then
		systemd-sysusers /usr/lib/sysusers.d/baetyl.conf || true
	fi
	if ! getent group baetyl >/dev/null && command -v groupadd >/dev/null 2>&1; then
		groupadd --system baetyl || true
	fi
	if command -v systemd-tmpfiles >/dev/null 2>&1; then
		systemd-tmpfiles --create /usr/lib/tmpfiles.d/baetyl.conf || true
	fi
	for folder in $state; do
		[ -d "$folder" ] || (umask 022 && mkdir -p "$folder")
	done
	application=$prefix/var/db/baetyl/application.yml
	if [ ! -e "$application" ] && [ ! -L "$application" ]; then
		(umask 077 && cp /usr/share/baetyl/minimal/var/db/baetyl/application.yml "$application.new")
		mv "$application.new" "$application"
	fi
	password=$prefix/var/db/baetyl/localhub-conf/password
	if [ ! -e "$password" ] && [ ! -L "$password" ]; then
		# 24 characters of 64; none has a meaning in a shell or in YAML.
		(umask 077 && head -c 18 /dev/urandom | base64 | tr '+/' '-_' >"$password.new")
		mv "$password.new" "$password"
	fi
}

# renew lets a running master go on as the new program. Its services run on.
renew() {
	systemd_runs || return 0
	systemctl --system daemon-reload || true
	if systemctl --quiet is-active baetyl.service; then
		"$prefix/bin/baetyl" restart ||
			echo "baetyl: the master was not replaced; the new version runs after: systemctl restart baetyl" >&2
	fi
}

# forget removes data, logs and what the master has noted about the host. Other disks that are mounted below stay.
forget() {
	for folder in $state /var/lib/baetyl; do # as busybox can do it, whose rm has no --one-file-system
		[ -d "$folder" ] || continue
		find "$folder" -xdev ! -type d -exec rm -f {} + || true
		find "$folder" -xdev -depth -type d -exec rmdir {} + 2>/dev/null || true
	done
	rmdir "$prefix/var/log" "$prefix/var/run" "$prefix/var/db" "$prefix/var" 2>/dev/null || true
	if command -v groupdel >/dev/null 2>&1 && getent group baetyl >/dev/null; then
		groupdel baetyl || true
	fi
}
