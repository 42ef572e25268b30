//go:build linux

package hostile_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
)

// memory is limits.memory of the hub, in bytes.
const memory = 128 << 20

// hash is one of a password that nobody knows: its account makes the hub compute bcrypt.
const hash = "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"

// hub is a process with two users, each of whom may do everything: good and bad. bad has no other limits than the
// defaults.
type hub struct {
	address string
	pid     int
}

func startHub(t *testing.T) *hub {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "hub"), "../../baetyl-hub")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	h := &hub{address: fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t))}
	const all = "permissions: [{action: pub, permit: ['#']}, {action: sub, permit: ['#']}]"
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "etc/baetyl"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "etc/baetyl/service.yml"), fmt.Appendf(nil, `listen: ['tcp://%s']
limits: {memory: %d}
connection: {max: 2000}
metrics: {address: ''}
storage: {dir: data, max: 200m}
principals:
- {username: good, password: good, %s}
- {username: bad, password: bad, %s}
- {username: hashed, password: '%s', %s}
`, h.address, memory, all, all, hash, all), 0o600))
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	cmd := exec.Command(filepath.Join(dir, "hub"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	runtime.LockOSThread() // the hub ends with the thread that started it
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	h.pid = cmd.Process.Pid
	t.Cleanup(func() {
		defer runtime.UnlockOSThread()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		err := cmd.Wait()
		if err != nil || t.Failed() {
			_ = log.Close()
			tail, _ := exec.Command("tail", "-n", "40", log.Name()).Output()
			t.Errorf("the hub: %v; the end of its log:\n%s", err, tail)
		}
	})
	mqtttest.Until(t, "the hub listens", func() bool {
		conn, err := net.DialTimeout("tcp", h.address, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return h
}

// peak returns the most memory in bytes that the process had since the last call.
func (h *hub) peak(t *testing.T) int64 {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d/", h.pid)
	text, err := os.ReadFile(proc + "status")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(proc+"clear_refs", []byte("5"), 0)) // the peak begins anew
	return kb << 10
}
