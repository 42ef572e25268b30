package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"
	"time"
)

// Profiles say what part of a hub needs how much of its processor time while a row is measured. scripts/profile.sh
// builds hubs that write one when they are asked (testdata/profile.go.txt).

// profileRows prints a table for each row: its columns are the hubs, its lines the parts.
func profileRows(list []*broker, chosen []row, d time.Duration) error {
	list = slices.DeleteFunc(list, func(b *broker) bool { return b.user == "" }) // other brokers write no profile
	for _, r := range chosen {
		var all []profile
		for _, b := range list {
			p, err := profileOf(b, r, d)
			if err != nil {
				return fmt.Errorf("%s: profile of %s: %w", r.name, b.name, err)
			}
			all = append(all, p)
		}
		printProfiles(r, list, all)
	}
	return nil
}

// profile is where processor time went.
type profile struct {
	result float64                  // of the row
	busy   float64                  // processors that the hub kept busy
	own    float64                  // and the load generator
	parts  map[string]time.Duration // samples of the hub
	total  time.Duration
}

func profileOf(b *broker, r row, d time.Duration) (p profile, err error) {
	dir, err := os.MkdirTemp("", "profile")
	if err != nil {
		return p, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "cpu")
	b.env = []string{"BENCH_PROFILE=" + path}
	defer b.stop()
	if err := b.start(); err != nil {
		return p, fmt.Errorf("start: %w", err)
	}
	if err := b.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return p, err
	}
	began, ownBefore := time.Now(), ownTime()
	before, err := b.cpu()
	if err != nil {
		return p, err
	}
	if p.result, err = r.run(b, d); err != nil {
		return p, err
	}
	after, err := b.cpu()
	if err != nil {
		return p, err
	}
	took := time.Since(began)
	p.busy, p.own = (after-before).Seconds()/took.Seconds(), (ownTime()-ownBefore).Seconds()/took.Seconds()
	if err := b.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		return p, err
	}
	if err := until(time.Minute, func() bool { _, err := os.Stat(path); return err == nil }); err != nil {
		return p, fmt.Errorf("no profile: %w", err)
	}
	out, err := exec.Command("go", "tool", "pprof", "-traces", path).Output()
	if err != nil {
		return p, fmt.Errorf("go tool pprof: %w", err)
	}
	p.parts, p.total, err = byPart(out)
	return p, err
}

// ownTime is the processor time that this process has used.
func ownTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// byPart sums the samples of `pprof -traces`: blocks between lines of dashes, each with its time and the functions from
// the innermost one outwards, one a line.
func byPart(traces []byte) (parts map[string]time.Duration, total time.Duration, err error) {
	parts = map[string]time.Duration{}
	var took time.Duration
	var stack []string
	end := func() {
		if took > 0 && len(stack) > 0 {
			parts[part(stack)] += took
			total += took
		}
		took, stack = 0, nil
	}
	started := false
	for line := range bytes.Lines(traces) {
		text := strings.TrimSpace(string(line))
		switch fields := strings.Fields(text); {
		case strings.HasPrefix(text, "-----------+"):
			end()
			started = true
		case !started || len(fields) == 0:
		case took == 0:
			if took, err = time.ParseDuration(fields[0]); err != nil {
				return nil, 0, fmt.Errorf("read the profile: %q: %w", text, err)
			}
			stack = append(stack, strings.Join(fields[1:], " "))
		default:
			stack = append(stack, text)
		}
	}
	end()
	if total == 0 {
		return nil, 0, errors.New("read the profile: it is empty")
	}
	return parts, total, nil
}

const ourPackages = "github.com/baetyl/baetyl/"

// Parts of the runtime: the first whose word is in a function's name, from the innermost function outwards.
var runtimeParts = []struct {
	part  string
	words []string
}{
	{"runtime: memory, its collection", []string{
		"gcBgMark", "gcAssist", "gcDrain", "gcStart", "bgsweep", "bgscavenge", "mallocgc", "growslice", "newobject",
		"makeslice", "sweepone", "scanobject", "markroot", "wbBuf", "gcMark", "gcWrite", "bulkBarrier",
	}},
	{"runtime: waking, waiting, scheduling", []string{
		"schedule", "findRunnable", "mcall", "park_m", "ready", "wakep", "futex", "notewakeup", "notesleep", "startm",
		"chansend", "chanrecv", "selectgo", "semrelease", "semacquire", "netpoll", "goexit0", "mstart", "newproc", "sysmon",
		"runtime_Semacquire", "runtime_Semrelease", "lock2", "unlock2", "exitsyscall", "entersyscall", "morestack",
		"runtime_notifyList", "retake", "timer", "usleep", "osyield", "procyield",
	}},
}

// part says to what the time of a stack belongs: a system call to network or disk, time of the runtime to what it is
// for, anything else to the package that it happened in or was called by.
func part(stack []string) string {
	for i, f := range stack {
		if strings.Contains(f, "yscall.Syscall") || strings.Contains(f, "yscall6") || strings.HasPrefix(f, "syscall.") {
			return systemCall(stack[i:])
		}
		if !strings.HasPrefix(f, "runtime.") && !strings.HasPrefix(f, "internal/runtime/") {
			break
		}
		for _, p := range runtimeParts {
			for _, word := range p.words {
				if strings.Contains(f, word) {
					return p.part
				}
			}
		}
	}
	for _, f := range stack {
		switch {
		case strings.HasPrefix(f, ourPackages):
			name := strings.TrimPrefix(f, ourPackages)
			return name[:strings.IndexByte(name+".", '.')]
		case strings.Contains(f, "syndtr/goleveldb"), strings.Contains(f, "golang/snappy"):
			return "goleveldb, snappy"
		case strings.Contains(f, "256dpi/gomqtt"):
			return "gomqtt"
		}
	}
	return "other"
}

// systemCall tells what a system call was for.
func systemCall(stack []string) string {
	for _, f := range stack {
		switch {
		case strings.Contains(f, "netpoll"), strings.Contains(f, "epoll"):
			return "runtime: waking, waiting, scheduling"
		case strings.HasPrefix(f, "net.(") || strings.HasPrefix(f, "net."):
			return "system calls: network"
		case strings.HasPrefix(f, "os.(*File)"), strings.Contains(f, "Fdatasync"), strings.Contains(f, "Fsync"):
			return "system calls: disk"
		}
	}
	return "system calls: others"
}

// printProfiles prints the parts of a row that need half a percent or more, largest first.
func printProfiles(r row, list []*broker, all []profile) {
	share := func(p profile, name string) float64 { return 100 * p.parts[name].Seconds() / p.total.Seconds() }
	var names []string
	for _, p := range all {
		for name := range p.parts {
			if share(p, name) >= 0.5 && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	sort.Slice(names, func(i, j int) bool { return share(all[0], names[i]) > share(all[0], names[j]) })
	line := func(first string, value func(profile) string) {
		fmt.Printf("| %s |", first)
		for _, p := range all {
			fmt.Printf(" %s |", value(p))
		}
		fmt.Println()
	}
	fmt.Printf("| %s |", r.name)
	for _, b := range list {
		fmt.Printf(" %s |", b.name)
	}
	fmt.Print("\n|---|")
	for range list {
		fmt.Print("---|")
	}
	fmt.Println()
	line(r.unit, func(p profile) string { return number(p.result) })
	line("processors that the hub keeps busy", func(p profile) string { return fmt.Sprintf("%.2f", p.busy) })
	line("and the load generator", func(p profile) string { return fmt.Sprintf("%.2f", p.own) })
	for _, name := range names {
		line(name, func(p profile) string { return fmt.Sprintf("%.1f %%", share(p, name)) })
	}
	fmt.Println()
}
