//go:build vm

package vm_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A power cut under load loses no message that was acknowledged, and the application runs after it. So it does after an
// orderly reboot.
func TestPowerCutAndReboot(t *testing.T) {
	m := install(t)
	m.start()
	m.run("sync") // the installation is on the disk; what comes now is the hub's to save
	flow := m.flow(20)
	defer flow.close()
	flow.away() // nobody receives what comes now: it has to survive
	enough := flow.count() + 1000
	require.Eventually(t, func() bool { return flow.count() > enough }, 2*time.Minute, 10*time.Millisecond, "too slow")
	m.cut()
	flow.close()
	t.Logf("%d messages acknowledged, %d received before the cut", flow.count(), len(flow.seen))

	m.up()
	m.running()
	flow.subscribe()
	flow.check(2*time.Minute, "before the power cut")
	require.Equal(t, "0", m.run("systemctl show --value -p NRestarts baetyl"))
	require.NotEmpty(t, m.run("systemctl is-enabled baetyl"))

	m.reboot()
	m.running()
	require.Contains(t, m.log("master stopped"), "baetyl stop", "the reboot stopped it in order, by ExecStop")
	require.Equal(t, "0", m.run("systemctl show --value -p NRestarts baetyl"))
}
