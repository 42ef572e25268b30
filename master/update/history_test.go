package update

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/history"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// told is a line for each entry of the history, the oldest first.
func told(p *process) (out []string) {
	for _, e := range p.History().List() {
		text := fmt.Sprintf("%d %s by %s", e.Number, e.Result, e.By)
		if e.Revert > 0 {
			text += fmt.Sprintf(", revert to %d", e.Revert)
		}
		if e.Reason != "" {
			text += ": " + e.Reason
		}
		out = append([]string{text}, out...)
	}
	return out
}

// The history says who has asked for what, and how it ended; a revert is an update in it.
func TestRevert(t *testing.T) {
	v := newVictim(t, faultfs.New(t, faultfs.Fault{}))
	synctest.Test(t, func(t *testing.T) {
		v.t = t
		p := v.boot(whole(t))
		defer func() { _ = p.end() }()
		p.idle()
		require.Equal(t, []string{"1 running by application.yml"}, told(p))
		_, err := p.Revert(masterapi.RevertRequest{}, masterapi.By{})
		require.ErrorIs(t, err, history.ErrNotFound)
		require.ErrorIs(t, err, masterapi.ErrRefused)

		uid := 1000
		by := masterapi.By{UID: &uid, User: "alice"}
		require.NoError(t, p.Request(masterapi.UpdateRequest{Application: newApp, Trace: "t"}, by))
		p.idle()
		require.Equal(t, newApp, v.read(application.File))
		p.fake.FailStart("other", errors.New("boom"))
		to, err := p.Revert(masterapi.RevertRequest{Trace: "r"}, by)
		require.NoError(t, err)
		require.Equal(t, 1, to.Number)
		p.idle()
		p.fake.FailStart("other", nil)
		require.Equal(t, oldApp, v.read(application.File))
		require.Equal(t, []string{"1 ended by application.yml: replaced by 2", "2 ended by alice: replaced by 3",
			"3 running by alice, revert to 1"}, told(p))

		// One that does not stay up is rolled back.
		p.fake.FailStart("other", errors.New("boom"))
		_, err = p.Revert(masterapi.RevertRequest{Number: 2}, by)
		require.NoError(t, err)
		p.idle()
		require.Equal(t, oldApp, v.read(application.File))
		require.Contains(t, told(p)[3], "4 rolled_back by alice, revert to 2: update application to version")
		require.Contains(t, told(p)[3], "boom")

		state := p.State(t.Context(), 0)
		require.Equal(t, masterapi.StepRolledBack, state.Result)
		require.Contains(t, state.Reason, "boom")
		require.Len(t, state.Steps, state.Seen)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Empty(t, p.State(ctx, state.Seen).Steps)
		require.Equal(t, state, p.State(t.Context(), 1000), "of another update")

		details, err := p.Details(2)
		require.NoError(t, err)
		require.Equal(t, 1, details.Before)
		require.True(t, details.Plan.Changed)
		first, err := p.Details(1)
		require.NoError(t, err)
		require.Zero(t, first.Before)
		require.NoError(t, os.WriteFile(filepath.Join(v.dir, history.Dir, digest([]byte(newApp))+".yml"), []byte("x"), 0o600))
		details, err = p.Details(2)
		require.NoError(t, err)
		require.Nil(t, details.Plan)
		_, err = p.Revert(masterapi.RevertRequest{Number: 2}, by)
		require.ErrorIs(t, err, history.ErrNotKept)
		require.ErrorIs(t, err, masterapi.ErrRefused)
	})
}

// A revert takes the images that the application had, also when its names mean others by now.
func TestRevertTakesTheImagesOfThen(t *testing.T) {
	v := newVictim(t, faultfs.New(t, faultfs.Fault{}))
	synctest.Test(t, func(t *testing.T) {
		v.t = t
		registry := map[string]string{"kept": "i1", "old": "o1", "new": "n1", "i": "i1"}
		e := newImager(registry)
		p := v.bootWith(whole(t), e)
		defer func() { _ = p.end() }()
		p.idle()
		time.Sleep(time.Second)
		require.NoError(t, p.Request(masterapi.UpdateRequest{Application: newApp, Trace: "known"}, masterapi.By{}))
		p.idle()
		time.Sleep(time.Second)
		require.NoError(t, p.Request(masterapi.UpdateRequest{Application: oldApp, Trace: "same"}, masterapi.By{}))
		p.idle()
		time.Sleep(time.Second)
		was := e.ran()
		for name := range registry {
			registry[name] += "-moved"
		}
		require.NoError(t, p.Request(masterapi.UpdateRequest{Application: oldApp, Trace: "moved"}, masterapi.By{}))
		p.idle()
		require.NotEqual(t, was, e.ran())
		_, err := p.Revert(masterapi.RevertRequest{}, masterapi.By{})
		require.NoError(t, err)
		p.idle()
		require.Equal(t, was["worker"], e.ran()["worker"], told(p))
		require.Equal(t, "i1", e.ran()["kept"])
	})
}

// Persons who start and stop services, updates and the end of the master at once: each call is carried out whole, or
// refused as busy, and nothing runs at the end.
func TestServicesAndUpdatesAtOnce(t *testing.T) {
	v := newVictim(t, faultfs.New(t, faultfs.Fault{}))
	p := v.boot(whole(t))
	p.idle()
	var wg sync.WaitGroup
	now, cancel := context.WithCancel(t.Context())
	cancel()
	allowed := func(err error) bool {
		return err == nil || errors.Is(err, masterapi.ErrBusy) || errors.Is(err, masterapi.ErrEnding) ||
			errors.Is(err, service.ErrNotFound) || errors.Is(err, service.ErrStopped) || errors.Is(err, context.Canceled)
	}
	for n := range 4 {
		wg.Go(func() {
			for range 50 {
				for _, name := range []string{"worker", "kept", "other"} {
					err := p.StopService(context.Background(), name, masterapi.By{})
					require.True(t, allowed(err), "%v", err)
					err = p.StartService(context.Background(), name)
					require.True(t, allowed(err), "%v", err)
					err = p.RestartService(context.Background(), name)
					require.True(t, allowed(err), "%v", err)
				}
			}
		})
		wg.Go(func() {
			for i := range 20 {
				text := oldApp
				if (n+i)%2 == 0 {
					text = newApp
				}
				err := p.Request(masterapi.UpdateRequest{Application: text, Trace: fmt.Sprint(n, i)}, masterapi.By{})
				require.True(t, allowed(err), "%v", err)
				p.History().List()
				p.State(now, 0)
			}
		})
	}
	time.AfterFunc(300*time.Millisecond, func() { _ = p.end() })
	wg.Wait()
	require.NoError(t, p.end())
	require.Empty(t, p.fake.Running())
	require.ErrorIs(t, p.StopService(t.Context(), "kept", masterapi.By{}), masterapi.ErrEnding)
}

// What cannot be an update is refused without a trace of it, whatever it is.
func TestApplicationInTheRequest(t *testing.T) {
	v := newVictim(t, faultfs.New(t, faultfs.Fault{}))
	synctest.Test(t, func(t *testing.T) {
		v.t = t
		p := v.boot(whole(t))
		defer func() { _ = p.end() }()
		p.idle()
		for _, r := range []masterapi.UpdateRequest{
			{Application: "services: [{nam: x}]\n"},
			{Application: newApp, Path: "var/db/baetyl/next"},
			{Application: strings.Repeat("#", 5<<20)},
			{Application: newApp, SHA256: strings.Repeat("0", 64)},
			{},
		} {
			require.ErrorIs(t, p.Request(r, masterapi.By{}), masterapi.ErrRefused)
			if r.SHA256 == "" {
				_, err := p.Plan(masterapi.PlanRequest{Application: r.Application, Path: r.Path}, masterapi.By{})
				require.ErrorIs(t, err, masterapi.ErrRefused)
			}
		}
		require.Len(t, told(p), 1)
		require.Equal(t, oldApp, v.read(application.File))
		plan, err := p.Plan(masterapi.PlanRequest{Path: "var/db/baetyl/next"}, masterapi.By{})
		require.NoError(t, err)
		require.True(t, plan.Changed)
		require.NoError(t, p.StopService(t.Context(), "kept", masterapi.By{}))
		plan, err = p.Plan(masterapi.PlanRequest{Application: newApp}, masterapi.By{})
		require.NoError(t, err)
		for _, s := range plan.Services {
			require.Equal(t, s.Name == "kept", s.Stopped != nil, s.Name)
		}
	})
}
