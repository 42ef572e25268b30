package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// acceptors are the lines of broker.xml that say where Artemis listens.
var acceptors = regexp.MustCompile(`(?m)^\s*<acceptor name=.*\n`)

// artemis is ActiveMQ Artemis, the durable peer: a PUBACK means synced to its journal (NIO, datasync). Its own tool
// makes the instance, and measures the disk for it; then it listens for MQTT alone.
func artemis(home string) func(dir string, port int) ([]string, error) {
	return func(dir string, port int) ([]string, error) {
		at := filepath.Join(dir, "instance")
		out, err := exec.Command(filepath.Join(home, "bin/artemis"), "create", at, "--silent", "--nio", "--no-web",
			"--allow-anonymous", "--user", "test", "--password", "hahaha").CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("create an instance of artemis: %w: %s", err, out)
		}
		path := filepath.Join(at, "etc/broker.xml")
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		first := true
		text = acceptors.ReplaceAllFunc(text, func([]byte) []byte {
			if !first {
				return nil
			}
			first = false
			const own = `<acceptor name="mqtt">tcp://127.0.0.1:%d?protocols=MQTT;useEpoll=true</acceptor>` + "\n"
			return fmt.Appendf(nil, own, port)
		})
		return []string{filepath.Join(at, "bin/artemis"), "run"}, os.WriteFile(path, text, 0o644)
	}
}
