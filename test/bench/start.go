package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"syscall"
	"time"
)

// startPause is how long a started example is left alone before its memory is read: a keeper gives back what it does
// not need five seconds after its master has come.
const startPause = 7 * time.Second

// starts prints how long installed examples take from `baetyl start` until their hub listens: one after the other,
// rounds times. sites are NAME=PREFIX, separated by spaces. The memory is that of the process that was started: the
// keeper, or the master of a version without one.
func starts(sites string, rounds int) error {
	list := strings.Fields(sites)
	took, memory := make([][]float64, len(list)), make([]string, len(list))
	for round := range rounds {
		for n, s := range list {
			name, prefix, ok := strings.Cut(s, "=")
			if !ok {
				return fmt.Errorf("%s is not NAME=PREFIX", s)
			}
			ms, used, err := startOnce(prefix, round == rounds-1)
			if err != nil {
				return fmt.Errorf("start %s: %w", name, err)
			}
			took[n], memory[n] = append(took[n], ms), used
		}
	}
	fmt.Printf("%d starts each, in turns\n\n", rounds)
	fmt.Println("| version | median ms | least | most | Pss_Anon of the first process |")
	fmt.Println("|---|---|---|---|---|")
	for n, s := range list {
		name, _, _ := strings.Cut(s, "=")
		sort.Float64s(took[n])
		most := took[n][len(took[n])-1]
		fmt.Printf("| %s | %.0f | %.0f | %.0f | %s |\n", name, median(took[n]), took[n][0], most, memory[n])
	}
	return nil
}

// startOnce starts an example and stops it. ms is the time until its hub took a connection.
func startOnce(prefix string, weigh bool) (ms float64, memory string, err error) {
	prefix, err = filepath.Abs(prefix)
	if err != nil {
		return 0, "", err
	}
	conf, err := os.ReadFile(filepath.Join(prefix, "var/db/baetyl/localhub-conf/service.yml"))
	if err != nil {
		return 0, "", err
	}
	found := regexp.MustCompile(`tcp://[^:\s]*:(\d+)`).FindSubmatch(conf)
	if found == nil {
		return 0, "", errors.New("its hub has no tcp address")
	}
	hub := "127.0.0.1:" + string(found[1])
	if listens(hub) {
		return 0, "", fmt.Errorf("something listens on %s already", hub)
	}
	cmd := exec.Command(filepath.Join(prefix, "bin/baetyl"), "start")
	cmd.Dir = prefix
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, "", err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		err = errors.Join(err, cmd.Wait())
	}()
	for !listens(hub) {
		if time.Since(began) > time.Minute {
			return 0, "", fmt.Errorf("nothing listens on %s after a minute", hub)
		}
		time.Sleep(500 * time.Microsecond)
	}
	ms = float64(time.Since(began).Microseconds()) / 1000
	if weigh {
		time.Sleep(startPause)
		memory = pssAnon(cmd.Process.Pid)
	}
	return ms, memory, nil
}

func listens(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// pssAnon is the memory that a process has for itself; – where the kernel does not tell.
func pssAnon(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return "–"
	}
	for line := range bytes.Lines(data) {
		if value, ok := bytes.CutPrefix(line, []byte("Pss_Anon:")); ok {
			return string(bytes.TrimSpace(value))
		}
	}
	return "–"
}
