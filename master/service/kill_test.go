package service_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
)

var errKilled = errors.New("the master was killed")

// killer kills a master at the n-th effect that it has, before or after it: from then on it has none.
type killer struct {
	file.FS
	mu   sync.Mutex
	left int // effects until it is killed; 0: it is dead
}

// never is more effects than a test has.
const never = 1 << 30

func (k *killer) arm(effects int) { k.mu.Lock(); defer k.mu.Unlock(); k.left = effects }

func (k *killer) dead() bool { k.mu.Lock(); defer k.mu.Unlock(); return k.left == 0 }

func (k *killer) at(op string) error {
	if op == "reap" || op == "reaped" { // what others do meanwhile comes here
		time.Sleep(time.Second)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.left > 0 {
		k.left--
	}
	if k.left == 0 {
		return errKilled
	}
	return nil
}

func (k *killer) effect(do func() error) error {
	return errors.Join(k.at(""), func() error {
		if k.dead() {
			return nil
		}
		return do()
	}(), k.at(""))
}

func (k *killer) OpenFile(name string, flag int, perm fs.FileMode) (file.File, error) {
	if k.dead() && flag != os.O_RDONLY {
		return nil, errKilled
	}
	f, err := k.FS.OpenFile(name, flag, perm)
	return unsynced{f}, err
}

// unsynced spares the disk: a kill of the master loses nothing that was written.
type unsynced struct{ file.File }

func (unsynced) Sync() error { return nil }

func (k *killer) Rename(from, to string) error {
	return k.effect(func() error { return k.FS.Rename(from, to) })
}

func (k *killer) Remove(name string) error {
	return k.effect(func() error { return k.FS.Remove(name) })
}

// model is what has to be true of the instances, whatever is killed.
type model struct {
	*bench
	killer  *killer
	random  *rand.Rand
	version map[string]int  // of the definition, by service
	dynamic map[string]bool // instances that were started on demand and not stopped; true: their caller knows
	touched map[string]bool // instances that may have been ended since the last check, on purpose
}

func (m *model) specs() []engine.Service {
	of := func(name string, replica int, change ...func(*app.Service)) engine.Service {
		s := spec(name, replica, change...)
		s.Args = []string{fmt.Sprint(m.version[name])}
		return s
	}
	once := func(s *app.Service) { s.Restart.Policy = app.RestartOnFailure }
	return []engine.Service{of("hub", 1), of("many", 3), of("once", 1, once), of("f", 0)}
}

// act does something at random.
func (m *model) act(t *testing.T) {
	name := fmt.Sprintf("f.%d", m.random.IntN(4))
	switch m.random.IntN(6) {
	case 0:
		m.touched[name] = true
		err := m.StartInstance(t.Context(), "f", name, map[string]string{"BAETYL_N": name}, nil)
		if m.dynamic[name] = err == nil && !m.killer.dead(); m.dynamic[name] { // a dead one answers nobody
			m.touched[name] = false
		}
	case 1:
		m.touched[name] = true
		if delete(m.dynamic, name); m.StopInstance(t.Context(), "f", name, nil) == nil && !m.killer.dead() {
			require.NotContains(t, m.fake.Records(), name)
		}
	case 2:
		crashed := []string{"hub", "many", "many.i1", "many.i2"}[m.random.IntN(4)]
		m.touched[crashed] = true
		m.fake.End(crashed, errBoom)
	case 3:
		time.Sleep(time.Duration(m.random.IntN(10)) * time.Second)
	case 4: // an update
		for _, i := range []string{"many", "many.i1", "many.i2"} {
			m.touched[i] = true
		}
		if m.Stop(t.Context(), "many") == nil && !m.killer.dead() {
			m.version["many"]++
			_ = m.Start(t.Context(), m.specs()[1]) // the next master starts it too
		}
	case 5:
		m.fake.End("once", nil)
	}
	synctest.Wait()
}

// overlap calls the next master, as soon as it answers: while it takes over. Answers are waited for by answered.
func (m *model) overlap(t *testing.T) (answered func()) {
	api, names := m.Manager, m.random.Perm(4)[:m.random.IntN(4)]
	stops, errs := make([]bool, len(names)), make([]error, len(names))
	if crashed := "many.i2"; m.random.IntN(3) == 0 {
		m.touched[crashed] = true
		m.fake.End(crashed, errBoom)
	}
	var calls sync.WaitGroup
	for n, number := range names {
		name := fmt.Sprintf("f.%d", number)
		m.touched[name] = true
		stops[n] = m.random.IntN(2) == 0
		calls.Go(func() {
			<-api.Known()
			if stops[n] {
				errs[n] = api.StopInstance(t.Context(), "f", name, nil)
			} else {
				errs[n] = api.StartInstance(t.Context(), "f", name, nil, nil)
			}
		})
	}
	return func() {
		calls.Wait()
		for n, number := range names {
			name := fmt.Sprintf("f.%d", number)
			switch done := errs[n] == nil && !m.killer.dead(); {
			case !stops[n] && done:
				m.dynamic[name] = true
			case !stops[n]: // what was there has been replaced, or not
				delete(m.dynamic, name)
			case done:
				require.NotContains(t, m.fake.Records(), name)
				fallthrough
			default:
				delete(m.dynamic, name)
			}
		}
	}
}

// restart lets masters take over until one is not killed meanwhile, and checks what it finds.
func (m *model) restart(t *testing.T) {
	before := m.fake.Records()
	for {
		m.Leave()
		m.next()
		m.killer.arm(1 + m.random.IntN(60))
		answered := m.overlap(t)
		err := m.TakeOver(t.Context(), m.specs())
		for _, s := range m.specs() {
			// a killed master adopts nothing
			bounded, cancel := context.WithTimeout(t.Context(), time.Second)
			err = errors.Join(err, m.Start(bounded, s))
			cancel()
		}
		answered()
		if !m.killer.dead() {
			require.NoError(t, err)
			break
		}
	}
	m.killer.arm(never)
	time.Sleep(time.Hour)
	after := m.fake.Records()
	for name, r := range before {
		if !m.touched[name] {
			require.Equal(t, r, after[name], "instance %s was not to be touched", name)
		}
	}
	for _, name := range []string{"hub", "many"} {
		_, ok := m.Authenticate(name, m.fake.Env(name)[masterapi.EnvServiceToken])
		require.True(t, ok, "the token lives as long as who knows it")
	}
	shown := 0
	for _, s := range m.Inspect() {
		shown += len(s.Instances)
	}
	require.Equal(t, shown, m.fake.Held(), "nothing runs that is not shown")
	for _, name := range []string{"hub", "many", "many.i1", "many.i2"} {
		require.Contains(t, after, name)
	}
	for name, known := range m.dynamic {
		if known {
			require.Contains(t, after, name, "a dynamic instance whose caller knows of it runs on")
		}
	}
	require.Equal(t, 1, m.fake.Starts("once"), "what has ended with success is not started again")
	clear(m.touched)
	clear(m.dynamic)
	for name, r := range after {
		if r.Service == "f" {
			m.dynamic[name] = true
		}
	}
}

// A hundred masters are killed at random effects: writes of the records, starts, stops, adoptions, before or after.
// Others call them meanwhile, also while they take over.
// What was not to be ended runs on, nothing runs twice, nothing is forgotten.
func TestKilledAtRandomPoints(t *testing.T) {
	for seed := range uint64(10) { // ten kills each
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T, b *bench) {
				m := &model{
					bench: b, killer: &killer{FS: file.OS.Or().FS, left: never},
					random:  rand.New(rand.NewPCG(seed, 24)),
					version: map[string]int{}, dynamic: map[string]bool{}, touched: map[string]bool{},
				}
				b.disk = file.Disk{FS: m.killer}
				b.fake.Hook(m.killer.at)
				b.manager()
				b.boot(t, m.specs()...)
				require.Equal(t, []string{"hub", "many", "many.i1", "many.i2", "once"}, b.fake.Running())
				for range 10 {
					m.killer.arm(1 + m.random.IntN(80))
					for n := 0; n < 20 && !m.killer.dead(); n++ {
						m.act(t)
					}
					m.killer.arm(0)
					was := maps.Clone(m.version)
					m.restart(t)
					require.Equal(t, was, m.version)
				}
			})
		})
	}
}
