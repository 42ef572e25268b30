//go:build e2e

package e2e_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// The master is killed while `baetyl stop` asks it, and while everything stops. One more carries it out, and the
// command returns when that has ended.
func TestMasterKilledDuringStop(t *testing.T) {
	s := newSystem(t).withoutTimer()
	s.edit(masterFile, func(text string) string { return text + "grace: 2s\n" })
	if mode == masterapi.ModeNative { // one that has to be killed when the grace is over
		s.withProbe()
		const deaf = "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.1; done\n"
		must(t, os.WriteFile(s.path("var/db/baetyl/probe/run"), []byte(deaf), 0o755))
	}
	for n := 1; n <= 3; n++ { // stop. does it still run? does it still run?
		for _, when := range allMoments {
			what := fmt.Sprintf("request %d %s", n, when)
			s.start()
			b := newBetween(t, s)
			b.arm(n, when)
			out, status := s.baetyl("-w", b.dir, "stop")
			left := s.processes()
			_, killed := b.result()
			b.stop()
			must(t, os.RemoveAll(b.dir))
			t.Logf("%s: killed %t, status %d: %s", what, killed, status, out)
			if status != 0 || !strings.HasPrefix(out, "everything has stopped after") || len(left) > 0 {
				t.Fatalf("%s: status %d, %d processes run on: %s", what, status, len(left), out)
			}
			select {
			case <-s.ended:
			case <-time.After(killLimit): // what is left is the end of the keeper itself
				t.Fatalf("%s: the keeper runs on", what)
			}
			if left := s.everyProcess(); len(left) > 0 {
				t.Errorf("%s: processes run on: %v", what, left)
			}
		}
	}
}
