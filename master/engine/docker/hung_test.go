//go:build linux

package docker_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
)

// gate stands between an engine and its daemon. While it is shut, requests arrive and are not answered.
type gate struct {
	mu       sync.Mutex
	open     *sync.Cond
	shut     bool
	creation bool // shut for requests that create a container
}

func newGate(t *testing.T) *gate {
	api, err := daemon()
	require.NoError(t, err)
	g := &gate{}
	g.open = sync.NewCond(&g.mu)
	dir, err := os.MkdirTemp("", "bg") // short, since a socket lies in it
	require.NoError(t, err)
	l, err := net.Listen("unix", filepath.Join(dir, "d.sock"))
	require.NoError(t, err)
	t.Setenv("DOCKER_HOST", "unix://"+l.Addr().String())
	var all sync.WaitGroup
	t.Cleanup(func() {
		g.set(false, false)
		require.NoError(t, l.Close())
		all.Wait()
		_ = os.RemoveAll(dir)
	})
	all.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := api.Dialer()(context.Background())
			if err != nil {
				_ = from.Close()
				continue
			}
			all.Go(func() {
				g.copy(to, from)
				_ = to.Close()
			})
			all.Go(func() {
				_, _ = io.Copy(from, to)
				_ = from.Close()
			})
		}
	})
	return g
}

func (g *gate) set(shut, creation bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut, g.creation = shut, creation
	g.open.Broadcast()
}

func (g *gate) copy(to io.Writer, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		g.mu.Lock()
		for g.shut || g.creation && bytes.Contains(buf[:n], []byte("/containers/create")) {
			g.open.Wait()
		}
		g.mu.Unlock()
		if _, err2 := to.Write(buf[:n]); err != nil || err2 != nil {
			return
		}
	}
}

// A daemon that hangs: stopping ends within bounds, and the next master removes what could not be stopped.
func TestStopWhileTheDaemonHangs(t *testing.T) {
	b, g, m := hung(t)
	box, err := m.Open(t.Context(), service("t-hung", "run"))
	require.NoError(t, err)
	i, err := box.Start(t.Context(), engine.Spec{Name: "t-hung", Handle: "h1"})
	require.NoError(t, err)
	enginetest.Output(t, i, "up")
	g.set(true, true)
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	i.Stop(ctx)
	require.Less(t, time.Since(began), 25*time.Second)
	require.ErrorContains(t, i.Exit().Err, "docker daemon does not answer")
	require.NoError(t, box.Close())
	g.set(false, false)
	require.NoError(t, newMaster(t, b.api, b.dir).Reap(t.Context(), nil, nil))
	_, err = b.api.ContainerInspect(context.Background(), i.Record().Container.ID)
	require.Error(t, err)
}

// A start whose caller goes ends within bounds. What the daemon starts after all is removed then.
func TestStartThatOutlivesItsCaller(t *testing.T) {
	b, g, m := hung(t)
	box, err := m.Open(t.Context(), service("t-late", "run"))
	require.NoError(t, err)
	g.set(false, true)
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err = box.Start(ctx, engine.Spec{Name: "t-late", Handle: "h2"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(began), 15*time.Second)
	require.NoError(t, box.Close())

	since := time.Now()
	g.set(false, false)
	until := strconv.FormatInt(since.Add(20*time.Second).Unix(), 10)
	said, failed := b.api.Events(t.Context(), events.ListOptions{
		Since: strconv.FormatInt(since.Add(-time.Second).Unix(), 10), Until: until,
		Filters: filters.NewArgs(filters.Arg("label", "baetyl.handle=h2")),
	})
	var actions []string
	for !slices.Contains(actions, "destroy") {
		select {
		case e := <-said:
			actions = append(actions, string(e.Action))
		case err := <-failed:
			t.Fatalf("the late container is not removed, only %q: %v", actions, err)
		}
	}
	require.Contains(t, actions, "create")
}

func hung(t *testing.T) (b *bench, g *gate, m *bench) {
	b = newBench(t)
	g = newGate(t)
	m = newMaster(t, b.api, b.dir)
	t.Cleanup(func() { g.set(false, false) }) // before the containers are removed
	return b, g, m
}
