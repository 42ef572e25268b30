package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What a device of this benchmark runs: so many services, each a shell that sleeps.
const (
	operatorServices = 10
	operatorScript   = "#!/bin/sh\n: > \"$STARTED\"\nwhile :; do echo line; sleep 1; done\n"
	idleTime         = 10 * time.Second // that a master is left alone while its wake-ups are counted
	followersMost    = 10
)

// operator prints what the command line and the master cost: program is a built baetyl.
func operator(program string, rounds int) error {
	dir, err := os.MkdirTemp("", "bo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := operatorDevice(dir, program); err != nil {
		return err
	}
	var first, ps []float64
	var idle, followed, memory string
	for round := range rounds {
		d := &operated{dir: dir}
		if err := d.start(); err != nil {
			return err
		}
		first = append(first, d.first)
		took, err := d.ps(20)
		ps = append(ps, took...)
		if err == nil && round == rounds-1 {
			time.Sleep(startPause)
			memory = pssAnon(d.master())
			idle = d.wakeups()
			followed, err = d.followed()
		}
		if err := errors.Join(err, d.stop()); err != nil {
			return err
		}
	}
	sort.Float64s(first)
	sort.Float64s(ps)
	fmt.Printf("%d services, %d starts, %d times ps\n\n| What | Figure |\n|---|---|\n", operatorServices, rounds, len(ps))
	fmt.Printf("| first service runs after `start`, median (most) | %.0f (%.0f) ms |\n",
		median(first), first[len(first)-1])
	fmt.Printf("| `baetyl ps`, median (95 %%) | %.1f (%.1f) ms |\n", median(ps), ps[len(ps)*95/100])
	fmt.Printf("| Pss_Anon of the master | %s |\n", memory)
	fmt.Printf("| processor time and wake-ups of the master, nobody looks | %s |\n", idle)
	fmt.Printf("| with %d followers of one log, a line a second | %s |\n", followersMost, followed)
	return nil
}

// operatorDevice makes a working directory.
func operatorDevice(dir, program string) error {
	var app strings.Builder
	app.WriteString("services:\n")
	for n := range operatorServices {
		fmt.Fprintf(&app, "  - name: s%d\n    image: pkg\n    replica: 1\n    user: root\n    env: {STARTED: %s/started%d}\n"+
			"    mounts: [{name: pkg, path: lib/baetyl/pkg, readonly: true}]\n", n, dir, n)
	}
	app.WriteString("volumes: [{name: pkg, path: var/db/baetyl/pkg}]\n")
	for path, text := range map[string]string{
		"etc/baetyl/conf.yml":               "mode: native\nserver: {address: 'unix://var/run/baetyl.sock'}\ngrace: 1s\n",
		"var/db/baetyl/application.yml":     app.String(),
		"var/db/baetyl/pkg/package.yml":     "entry: bin/run\n",
		"var/db/baetyl/pkg/bin/run":         operatorScript,
		"bin/.keep":                         "",
		"var/log/baetyl/services/.keep-dir": "",
	} {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o755)); err != nil {
			return err
		}
	}
	data, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "bin/baetyl"), data, 0o755)
}

// operated is a device that runs.
type operated struct {
	dir    string
	keeper *exec.Cmd
	first  float64 // ms until the first service ran
}

func (d *operated) command(args ...string) *exec.Cmd {
	return exec.Command(filepath.Join(d.dir, "bin/baetyl"), args...)
}

// start returns when all services run.
func (d *operated) start() error {
	started := func() int {
		all, _ := filepath.Glob(filepath.Join(d.dir, "started*")) // the pattern is right
		return len(all)
	}
	for n := range operatorServices {
		_ = os.Remove(filepath.Join(d.dir, "started"+strconv.Itoa(n))) // there is none the first time
	}
	d.keeper = d.command("start")
	began := time.Now()
	if err := d.keeper.Start(); err != nil {
		return err
	}
	for n := 0; n < operatorServices; n = started() {
		if n > 0 && d.first == 0 {
			d.first = float64(time.Since(began).Microseconds()) / 1000
		}
		if time.Since(began) > time.Minute {
			return errors.Join(errors.New("services do not start within a minute"), d.stop())
		}
		time.Sleep(500 * time.Microsecond)
	}
	if d.first == 0 { // all of them at once
		d.first = float64(time.Since(began).Microseconds()) / 1000
	}
	return nil
}

func (d *operated) stop() error {
	_ = d.keeper.Process.Signal(syscall.SIGTERM)
	return d.keeper.Wait()
}

// master is its process, the child of the keeper with that name.
func (d *operated) master() int {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		data, _ := os.ReadFile(path) // empty: it has ended
		line := string(data)
		_, rest, _ := strings.Cut(line, ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && strings.Contains(line, "(baetyl-master)") &&
			fields[1] == strconv.Itoa(d.keeper.Process.Pid) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			return pid
		}
	}
	return 0
}

// ps returns how many ms each of n calls took.
func (d *operated) ps(n int) (ms []float64, err error) {
	for range n {
		began := time.Now()
		if out, err := d.command("ps").CombinedOutput(); err != nil {
			return ms, fmt.Errorf("baetyl ps: %w: %s", err, out)
		}
		ms = append(ms, float64(time.Since(began).Microseconds())/1000)
	}
	return ms, nil
}

// wakeups is what the master uses for a while.
func (d *operated) wakeups() string {
	pid := d.master()
	cpu, switches := used(pid)
	time.Sleep(idleTime)
	cpu2, switches2 := used(pid)
	per := idleTime.Seconds()
	return fmt.Sprintf("%.1f ms/s, %.1f/s", (cpu2-cpu)*1000/per, float64(switches2-switches)/per)
}

// followed is wakeups while commands follow a log.
func (d *operated) followed() (string, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for range followersMost {
		c := exec.CommandContext(ctx, filepath.Join(d.dir, "bin/baetyl"), "logs", "-f", "--tail", "1", "s0")
		c.Stdout = io.Discard
		if err := c.Start(); err != nil {
			return "", err
		}
		defer func() { cancel(); _ = c.Wait() }()
	}
	time.Sleep(startPause / 4) // for all of them to follow
	return d.wakeups(), nil
}

// used is the processor time of a process in seconds, and how often its threads have waited.
func used(pid int) (seconds float64, switches int) {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	if fields := strings.Fields(rest); len(fields) > 12 {
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		seconds = float64(user+system) / 100 // USER_HZ
	}
	all, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, path := range all {
		data, _ := os.ReadFile(path)
		for line := range strings.Lines(string(data)) {
			if value, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				n, _ := strconv.Atoi(strings.TrimSpace(value))
				switches += n
			}
		}
	}
	return seconds, switches
}
