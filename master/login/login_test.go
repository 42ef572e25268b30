package login

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

func newLogins(t *testing.T, token string) (*Logins, *time.Time) {
	t.Helper()
	now := time.Now()
	l := New(filepath.Join(t.TempDir(), "key"), "")
	l.token, l.now = "", func() time.Time { return now }
	require.NoError(t, json.Unmarshal([]byte(`"`+token+`"`), (*string)(&l.token)))
	return l, &now
}

func person(uid int) masterapi.By { return masterapi.By{UID: &uid, User: "root"} }

func TestLinkWorksOnce(t *testing.T) {
	l, now := newLogins(t, "")
	code := l.Link(person(0))
	text, ends, err := l.Enter(code)
	require.NoError(t, err)
	require.Equal(t, now.Add(SessionLife), ends)
	by, ok := l.Who(text)
	require.True(t, ok)
	require.Equal(t, "root", by.String())
	_, _, err = l.Enter(code)
	require.ErrorIs(t, err, ErrWrong)

	code = l.Link(person(0))
	*now = now.Add(LinkLife)
	_, _, err = l.Enter(code)
	require.ErrorIs(t, err, ErrWrong, "too old")
	_, ok = l.Who(text)
	require.True(t, ok)
	*now = now.Add(SessionLife)
	_, ok = l.Who(text)
	require.False(t, ok)
}

// The next master knows the sessions of the one before, until somebody removes the key.
func TestSessionsOutliveTheMaster(t *testing.T) {
	l, _ := newLogins(t, "")
	text, _, err := l.Enter(l.Link(person(0)))
	require.NoError(t, err)
	_, ok := New(l.path, "").Who(text)
	require.True(t, ok)
	i, err := os.Stat(l.path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), i.Mode())
	require.NoError(t, os.Remove(l.path))
	_, ok = New(l.path, "").Who(text)
	require.False(t, ok)
}

func TestToken(t *testing.T) {
	l, _ := newLogins(t, "0123456789abcdef")
	_, _, err := l.Enter("0123456789abcdee")
	require.ErrorIs(t, err, ErrWrong)
	for range 2 {
		text, _, err := l.Enter("0123456789abcdef")
		require.NoError(t, err)
		_, ok := l.Who(text)
		require.True(t, ok)
	}
	none, _ := newLogins(t, "")
	_, _, err = none.Enter("")
	require.ErrorIs(t, err, ErrWrong)
}

func TestWrongLoginsAreLimited(t *testing.T) {
	l, now := newLogins(t, "")
	code := l.Link(person(0))
	for range maxFailures {
		_, _, err := l.Enter("x")
		require.ErrorIs(t, err, ErrWrong)
	}
	_, _, err := l.Enter(code)
	require.ErrorIs(t, err, ErrTooMany)
	*now = now.Add(time.Minute)
	_, _, err = l.Enter(code)
	require.NoError(t, err)

	first := l.Link(person(0))
	for range maxLinks {
		l.Link(person(0))
	}
	_, _, err = l.Enter(first)
	require.ErrorIs(t, err, ErrWrong, "the oldest of too many links")
}

func FuzzWho(f *testing.F) {
	l := New(filepath.Join(f.TempDir(), "key"), "")
	text, _, err := l.Enter(l.Link(person(0)))
	require.NoError(f, err)
	for _, s := range []string{"", ".", text[1:], text + "A", "e30." + text} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if _, ok := l.Who(s); ok && s != text {
			t.Fatalf("%q is nobody's session", s)
		}
	})
}
