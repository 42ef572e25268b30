package main

import (
	"maps"
	"testing"
	"time"
)

func TestByPart(t *testing.T) {
	const traces = `File: hub
Type: cpu
Duration: 3s, Total samples = 10ms
-----------+-------------------------------------------------------
      20ms   internal/runtime/syscall.Syscall6
             syscall.RawSyscall6
             syscall.write
             internal/poll.(*FD).Write
             net.(*netFD).Write
             net.(*conn).Write
             github.com/baetyl/baetyl/baetyl-hub/session.(*writeQueue).write
-----------+-------------------------------------------------------
      10ms   syscall.Syscall
             syscall.Fdatasync
             github.com/baetyl/baetyl/baetyl-hub/store/journal.(*file).Sync
-----------+-------------------------------------------------------
      30ms   runtime.memmove
             github.com/syndtr/goleveldb/leveldb/memdb.(*DB).Put
             github.com/baetyl/baetyl/baetyl-hub/store.(*Store).write
-----------+-------------------------------------------------------
     1.5ms   runtime.memclrNoHeapPointers
             runtime.mallocgc
             runtime.makeslice
             github.com/baetyl/baetyl/baetyl-hub/store.(*Store).write
-----------+-------------------------------------------------------
      40ms   runtime.futex
             runtime.futexwakeup
             github.com/baetyl/baetyl/baetyl-hub/store.(*Store).write
-----------+-------------------------------------------------------
       5ms   runtime.mapaccess1
             github.com/baetyl/baetyl/utils/topic.(*Tree[go.shape.int]).Match
`
	got, total, err := byPart([]byte(traces))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]time.Duration{
		"system calls: network": 20 * time.Millisecond, "system calls: disk": 10 * time.Millisecond,
		"goleveldb, snappy": 30 * time.Millisecond, "runtime: memory, its collection": 1500 * time.Microsecond,
		"runtime: waking, waiting, scheduling": 40 * time.Millisecond, "utils/topic": 5 * time.Millisecond,
	}
	if !maps.Equal(got, want) || total != 106500*time.Microsecond {
		t.Fatalf("%v, in all %s", got, total)
	}
	if _, _, err := byPart([]byte("Type: cpu\n")); err == nil {
		t.Fatal("an empty profile is an error")
	}
}
