package doctor

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/host"
	"github.com/baetyl/baetyl/utils/pattern"
)

// sane is a time before that of every release: a clock that is behind it was never set.
var sane = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

func checkClock(_ context.Context, o *Options) (out []masterapi.Finding) {
	const hint = "set the clock, and let it be kept (systemd-timesyncd, chrony): certificates and retention go by it"
	now := time.Now()
	if now.Before(sane) {
		return one(failed, "it is "+now.Format(time.DateOnly)+": the clock was never set", hint)
	}
	for _, path := range []string{o.Program, filepath.Join(o.Workdir, dataDir, "application.yml")} {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(now.Add(time.Hour)) {
			out = append(out, one(failed, fmt.Sprintf("it is %s, and %s is of %s: the clock is behind",
				now.Format(time.DateTime), path, info.ModTime().Format(time.DateTime)), hint)...)
		}
	}
	var t unix.Timex
	if state, err := unix.Adjtimex(&t); err == nil && (state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0) {
		out = append(out, one(warning, "nothing keeps the clock synchronised", hint)...)
	}
	return or(out, ok("%s", now.Format(time.RFC3339)))
}

func checkDisk(_ context.Context, o *Options) (out []masterapi.Finding) {
	seen := map[uint64]bool{}
	text := ""
	for _, dir := range []string{
		o.Workdir, filepath.Join(o.Workdir, dataDir), filepath.Join(o.Workdir, logDir), os.TempDir(),
	} {
		info, err := os.Stat(dir)
		var st unix.Statfs_t
		if err != nil || unix.Statfs(dir, &st) != nil || st.Blocks == 0 || seen[deviceOf(info)] {
			continue
		}
		seen[deviceOf(info)] = true
		free := uint64(st.Bavail) * uint64(st.Bsize) //nolint:unconvert // their types differ
		percent := 100 * float64(st.Bavail) / float64(st.Blocks)
		if text == "" {
			text = fmt.Sprintf("%d MB (%.0f %%) free in %s", free>>20, percent, dir)
		}
		const hint = "baetyl prune, remove old logs and backups, or use a larger disk"
		switch {
		case st.Flags&unix.ST_RDONLY != 0:
			out = append(out, one(failed, dir+" is mounted read-only", "mount it writable; see the check kernel for why")...)
		case percent < 3 || free < 32<<20:
			out = append(out, one(failed, fmt.Sprintf("only %d MB (%.1f %%) are free in %s", free>>20, percent, dir), hint)...)
		case percent < 10 && free < 2<<30:
			out = append(out, one(warning, fmt.Sprintf("only %d MB (%.1f %%) are free in %s", free>>20, percent, dir), hint)...)
		}
		if st.Files > 0 && 100*float64(st.Ffree)/float64(st.Files) < 5 {
			out = append(out, one(warning, fmt.Sprintf("only %d inodes are free in %s", st.Ffree, dir),
				"remove small files: find the folder with the most by du --inodes")...)
		}
	}
	return or(out, ok("%s", text))
}

// deviceOf is the file system that a file is on.
func deviceOf(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev) //nolint:unconvert // its type differs from processor to processor
	}
	return 0
}

func checkMemory(context.Context, *Options) []masterapi.Finding {
	m := numbers("/proc/meminfo")
	total, free := m["MemTotal"], m["MemAvailable"]
	if total == 0 {
		return info("the kernel does not say how much memory is left")
	}
	text := fmt.Sprintf("%d of %d MB are available", free>>10, total>>10)
	if free < total/20 || free < 16<<10 {
		return one(warning, "only "+text, "baetyl top shows who uses it; resources.memory.limit bounds a service")
	}
	return ok("%s", text)
}

// numbers reads lines "name: number".
func numbers(path string) map[string]uint64 {
	out := map[string]uint64{}
	data, _ := head(path, 64<<10) // what cannot be read has none
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(strings.ReplaceAll(line, ":", " "))
		if len(f) > 1 {
			out[f[0]], _ = strconv.ParseUint(f[1], 10, 64)
		}
	}
	return out
}

func checkDescriptors(context.Context, *Options) (out []masterapi.Finding) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err == nil && l.Max < 4096 {
		out = append(out, one(warning, fmt.Sprintf("a process may open %d files: a hub with many clients needs more", l.Max),
			"raise LimitNOFILE= of the unit, or ulimit -n")...)
	}
	data, _ := head("/proc/sys/fs/file-nr", 100)
	if f := strings.Fields(string(data)); len(f) == 3 {
		open, _ := strconv.ParseFloat(f[0], 64)
		most, _ := strconv.ParseFloat(f[2], 64)
		if most > 0 && open > 0.8*most {
			out = append(out, one(warning, fmt.Sprintf("%.0f of %.0f files of the machine are open", open, most),
				"raise fs.file-max")...)
		}
	}
	return or(out, ok("up to %d files for each process", l.Max))
}

func checkCgroups(_ context.Context, o *Options) []masterapi.Finding {
	data, err := head("/proc/mounts", 1<<20)
	if err != nil {
		return info("%s", err)
	}
	v2, v1 := "", map[string]bool{}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		switch {
		case len(f) < 4:
		case f[2] == "cgroup2":
			v2 = f[1]
		case f[2] == "cgroup":
			for _, c := range strings.Split(f[3], ",") {
				v1[c] = true
			}
		}
	}
	if v2 == "" && len(v1) == 0 {
		return one(warning, "there are no cgroups: no limit of a service can be kept", "mount cgroup2 at /sys/fs/cgroup")
	}
	has := map[string]bool{}
	if v2 != "" {
		text, _ := head(filepath.Join(v2, "cgroup.controllers"), 4096)
		for _, c := range strings.Fields(string(text)) {
			has[c] = true
		}
	}
	var missing []string
	for _, c := range []string{"memory", "cpu", "pids"} {
		if !has[c] && !v1[c] {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		return one(warning, "the kernel has no controller "+strings.Join(missing, ", ")+": such limits do not hold",
			"docs/master.md, What the host can't do; on a Raspberry Pi cgroup_enable=memory in cmdline.txt")
	}
	if o.Mode == masterapi.ModeNative && os.Geteuid() == 0 && v2 != "" && len(v1) == 0 {
		self, _ := head("/proc/self/cgroup", 4096)
		_, path, _ := strings.Cut(strings.TrimSpace(string(self)), "0::")
		if unix.Access(filepath.Join(v2, path, "cgroup.procs"), unix.W_OK) != nil {
			return one(warning, "the cgroup "+path+" cannot be written", "Delegate=yes in the unit of systemd")
		}
	}
	if v2 != "" && len(v1) == 0 {
		return ok("version 2 with memory, cpu and pids")
	}
	return ok("version 1 with memory, cpu and pids")
}

const shortWhile = 10 * time.Minute

func checkBoot(context.Context, *Options) (out []masterapi.Finding) {
	data, err := head("/proc/uptime", 100)
	if err != nil {
		return info("%s", err)
	}
	seconds, _ := strconv.ParseFloat(strings.Fields(string(data) + " 0")[0], 64)
	up := time.Duration(seconds) * time.Second
	if log, err := host.KernelLog(1 << 20); err == nil {
		if line := lineWith(log, notClean); line != "" {
			out = append(out, one(warning, "the machine was not shut down in order before this boot: "+line,
				"look for the loss of power, or a watchdog")...)
		}
	}
	if up < shortWhile {
		out = append(out, info("the machine has started %s ago", up.Round(time.Second))...)
	}
	return or(out, ok("up for %s", up.Round(time.Minute)))
}

var (
	notClean = pattern.Lazy(`(?i)EXT4-fs .*(recovery complete|orphan cleanup)|recovering journal|` +
		`XFS .*Starting recovery|F2FS-fs .*recover|BTRFS.*log replay|was not properly (un)?mounted`)
	oomKill = pattern.Lazy(`(?i)out of memory: killed process|oom-kill:|Memory cgroup out of memory`)
	badDisk = pattern.Lazy(`(?i)I/O error|EXT4-fs error|Remounting filesystem read-only|mmc[0-9]+: .*error|` +
		`critical medium error`)
	badSupply = pattern.Lazy(`(?i)under-?voltage detected`)
)

// lineWith is the last line of the kernel's log that matches, without what is before its text.
func lineWith(log []byte, re func() *regexp.Regexp) (last string) {
	lines := bufio.NewScanner(bytes.NewReader(log))
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		if re().Match(lines.Bytes()) {
			_, last, _ = strings.Cut(lines.Text(), ";")
		}
	}
	return last
}

func checkKernel(context.Context, *Options) (out []masterapi.Finding) {
	log, err := host.KernelLog(1 << 20)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return info("%s", err)
	}
	if err != nil {
		return info("the kernel's log is for root alone; examine as root, or with a master that is")
	}
	for _, c := range []struct {
		re             func() *regexp.Regexp
		severity, hint string
	}{
		{oomKill, warning, "baetyl top shows who uses the memory; resources.memory.limit bounds a service"},
		{badDisk, failed, "the disk or its cable may be failing: baetyl backup now, and replace it"},
		{badSupply, warning, "use a stronger power supply: disks lose data with a weak one"},
	} {
		if line := lineWith(log, c.re); line != "" {
			out = append(out, one(c.severity, line, c.hint)...)
		}
	}
	return or(out, ok("no kill for want of memory, no error of a disk"))
}

func checkLogs(ctx context.Context, o *Options) []masterapi.Finding {
	var bytes int64
	dir := filepath.Join(o.Workdir, logDir)
	visit(ctx, dir, 5, func(path string, mode fs.FileMode) {
		if info, err := os.Lstat(path); err == nil && mode.IsRegular() {
			bytes += info.Size()
		}
	})
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) == nil && bytes > 256<<20 && uint64(bytes) > st.Blocks/5*uint64(st.Bsize) {
		return one(warning, fmt.Sprintf("%s has %d MB, a fifth of its disk", dir, bytes>>20),
			"lower logger.size.max and logger.backup.max in conf.yml")
	}
	return ok("%d MB in %s", bytes>>20, dir)
}
