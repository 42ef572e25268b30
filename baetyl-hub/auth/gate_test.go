package auth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
)

var here, there = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")

func hashed(t testing.TB, name, password string, cost int) auth.Principal {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	require.NoError(t, err)
	return auth.Principal{Username: name, Password: conf.Secret(hash)}
}

// Whatever is wrong with a login, the refusal takes the work of the most expensive hash.
func TestRefusalsTakeTheSameWork(t *testing.T) {
	g := auth.NewGate(book(t, hashed(t, "cheap", "secret", 4), hashed(t, "dear", "secret", 6),
		auth.Principal{Username: "plain", Password: "secret"}, auth.Principal{Username: "certificate"}))
	work := 0
	g.SetCheck(1, 1, func(hash, password []byte) error {
		cost, err := bcrypt.Cost(hash)
		require.NoError(t, err)
		work += 1 << cost
		return bcrypt.CompareHashAndPassword(hash, password)
	})
	for _, name := range []string{"cheap", "dear", "plain", "certificate", "nobody"} {
		work = 0
		_, err := g.Login(t.Context(), auth.Attempt{Username: name, Password: "wrong"})
		require.ErrorIs(t, err, auth.ErrRefused)
		require.Equal(t, 1<<6, work, name)
	}
	work = 0
	_, err := g.Login(t.Context(), auth.Attempt{Username: "plain", Password: "secret"})
	require.NoError(t, err)
	require.Zero(t, work)
	// Without a name there is none to find out: a probe of the health check asks so, again and again.
	_, err = g.Login(t.Context(), auth.Attempt{Password: "wrong"})
	require.ErrorIs(t, err, auth.ErrRefused)
	require.Zero(t, work)
	// Where no principal has a hash, none is made up.
	g.SetBook(book(t, auth.Principal{Username: "plain", Password: "secret"}))
	_, err = g.Login(t.Context(), auth.Attempt{Username: "nobody"})
	require.ErrorIs(t, err, auth.ErrRefused)
	require.Zero(t, work)
}

// A verified password is remembered for a while, until its principal changes; a wrong one never is.
func TestVerifiedPasswordIsRemembered(t *testing.T) {
	first, other := hashed(t, "u", "secret", 4), hashed(t, "u", "other", 4)
	second := hashed(t, "v", "secret", 4)
	g := auth.NewGate(book(t, first, second))
	now, checks := time.Now(), 0
	g.SetClock(func() time.Time { return now })
	g.SetCheck(1, 1, func(hash, password []byte) error {
		checks++
		return bcrypt.CompareHashAndPassword(hash, password)
	})
	login := func(user, password string, ok bool, want int) {
		t.Helper()
		checks = 0
		_, err := g.Login(t.Context(), auth.Attempt{Username: user, Password: password})
		require.Equal(t, ok, err == nil, "%v", err)
		require.Equal(t, want, checks)
	}
	login("u", "secret", true, 1)
	login("u", "secret", true, 0)
	login("u", "wrong", false, 1)
	login("u", "wrong", false, 1)
	login("v", "wrong", false, 1)
	login("v", "secret", true, 1) // the password of u is not that of v
	g.SetBook(book(t, first, second))
	login("u", "secret", true, 0)
	g.SetBook(book(t, other, second))
	login("u", "secret", false, 1)
	login("u", "other", true, 1)
	login("v", "secret", true, 0)
	now = now.Add(auth.RememberFor)
	login("v", "secret", true, 1)
}

// Of logins that wait, each address has one at a time, first one that has not failed. What is too much is taken from
// the longest line.
func TestQueueIsFairToAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := auth.NewGate(book(t))
		g.SetCheck(1, 4, nil)
		require.NoError(t, g.Enter(t.Context(), here, 0))
		var done []string
		enter := func(ctx context.Context, name string, from netip.Addr) {
			go func() {
				if err := g.Enter(ctx, from, strings.Count(name, "!")); err != nil {
					name = fmt.Sprintf("%s: %v", name, err)
				}
				done = append(done, name)
			}()
			synctest.Wait()
		}
		leave := func() { g.Leave(); synctest.Wait() }
		for i := range 5 {
			enter(t.Context(), fmt.Sprint("here", i), here)
		}
		busy := ": " + auth.ErrBusy.Error()
		require.Equal(t, []string{"here4" + busy}, done) // there was no room
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		enter(soon, "there0", there)
		enter(t.Context(), "there1", there)
		require.Equal(t, []string{"here3" + busy, "here2" + busy}, done[1:])
		for range 3 {
			leave()
		}
		require.Equal(t, []string{"here0", "there0", "here1"}, done[3:])
		enter(soon, "late", there)
		time.Sleep(time.Second) // of the bubble
		synctest.Wait()
		require.Equal(t, "late"+busy, done[6])
		leave()
		require.Equal(t, "there1", done[7])
		leave()
		require.Zero(t, g.Waiting())
		require.NoError(t, g.Enter(t.Context(), here, 0))
		done = nil
		for _, name := range []string{"a!!", "b!", "c", "d!"} { // each ! is a failure
			enter(t.Context(), name, here)
		}
		for range 5 {
			leave()
		}
		require.Equal(t, []string{"c", "b!", "d!", "a!!"}, done)
	})
}

// Nothing is spent on a client that has left.
func TestLoginOfClientThatHasLeft(t *testing.T) {
	g := auth.NewGate(book(t, hashed(t, "u", "secret", 4)))
	g.SetCheck(1, 1, func(_, _ []byte) error { return errors.New("it was checked") })
	_, err := g.Login(t.Context(), auth.Attempt{Username: "u", Gone: func() bool { return true }})
	require.ErrorIs(t, err, auth.ErrGone)
}

// Delays grow with the refusals of an address and user, more slowly with those of the address, and not elsewhere.
func TestFailures(t *testing.T) {
	now, f := time.Now(), auth.NewFailures(time.Second)
	var got []time.Duration
	for range 8 {
		got = append(got, f.Refused(here, "u", now)/time.Millisecond)
	}
	require.Equal(t, []time.Duration{0, 0, 100, 200, 400, 800, 1000, 1000}, got)
	require.Zero(t, f.Refused(there, "u", now))
	require.Zero(t, f.Refused(here, "other", now))
	require.Equal(t, 8, f.Of(here, "u", now))
	require.Zero(t, f.Of(here, "u", now.Add(time.Hour)))
	f.Accepted(here, "u")
	require.Zero(t, f.Of(here, "u", now))
	require.Zero(t, f.Refused(here, "u", now))
	for i := range 10 {
		require.Zero(t, f.Refused(here, fmt.Sprint(i), now))
	}
	require.NotZero(t, f.Refused(here, "a new name", now))
	require.Zero(t, f.Refused(here, "a new name", now.Add(time.Hour))) // all is forgotten
	require.Zero(t, auth.NewFailures(0).Refused(here, "u", now))
	for i := range auth.MostFailures {
		f.Refused(there, fmt.Sprint(i), now)
	}
	require.Equal(t, auth.MostFailures, f.Len())
}

// Few refusals a minute are logged, of one address and of all. A line has the number of those that were not.
func TestRefusals(t *testing.T) {
	var out bytes.Buffer
	l := log.NewTo(&out, log.Config{})
	r, now := auth.NewRefusals(), time.Now()
	refuse := func(from netip.Addr, at time.Time) {
		r.Log(l, net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 1)), "u", "c", auth.ErrRefused, at)
	}
	lines := func() int { return strings.Count(out.String(), "login refused") }
	for range 100 {
		refuse(here, now)
	}
	require.Equal(t, 5, lines())
	for i := range 100 {
		refuse(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), now)
	}
	require.Equal(t, 60, lines())
	require.NotContains(t, out.String(), "not_logged")
	refuse(here, now.Add(time.Minute))
	require.Equal(t, 61, lines())
	require.Contains(t, out.String(), "not_logged=140 ")
}
