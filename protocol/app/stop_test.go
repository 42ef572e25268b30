package app_test

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/app"
)

func TestSignals(t *testing.T) {
	for text, want := range map[string]struct {
		signal syscall.Signal
		name   string
	}{
		"SIGTERM": {syscall.SIGTERM, "SIGTERM"}, "term": {syscall.SIGTERM, "SIGTERM"}, "15": {syscall.SIGTERM, "SIGTERM"},
		"int": {syscall.SIGINT, "SIGINT"}, "3": {syscall.SIGQUIT, "SIGQUIT"}, "SigUsr1": {syscall.SIGUSR1, "SIGUSR1"},
		"SIGRTMIN": {34, "SIGRTMIN"}, "RTMIN+3": {37, "SIGRTMIN+3"}, "rtmax": {64, "SIGRTMIN+30"},
		"SIGRTMAX-1": {63, "SIGRTMIN+29"}, "37": {37, "SIGRTMIN+3"}, "30": {30, "30"},
	} {
		s, err := app.ParseSignal(text)
		require.NoError(t, err, text)
		require.Equal(t, want.signal, s.Signal(), text)
		require.Equal(t, want.name, s.String(), text)
	}
	require.Equal(t, syscall.SIGTERM, app.Signal(0).Signal())
	require.Equal(t, "SIGTERM", app.Signal(0).String())
	for _, text := range []string{"", "0", "65", "-1", "+1", "SIG", "SIGSIGTERM", "stop", "17", "CONT", "RTMIN+",
		"RTMIN-1", "RTMIN+31", "RTMAX+1", "RTMIN3"} {
		_, err := app.ParseSignal(text)
		require.ErrorContains(t, err, "; write a name such as SIGTERM or SIGINT, or a number", text)
	}
}

// What is read is written so that it reads the same.
func FuzzParseSignal(f *testing.F) {
	for _, s := range []string{"SIGTERM", "9", "rtmin+3", "SIGRTMAX-30", "RTMIN+"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := app.ParseSignal(text)
		if err != nil {
			return
		}
		require.Positive(t, s.Signal())
		again, err := app.ParseSignal(s.String())
		require.NoError(t, err)
		require.Equal(t, s, again)
	})
}

func TestAccounts(t *testing.T) {
	for text, want := range map[string]app.Account{
		"root": {User: "root"}, "0": {User: "0"}, "1000:1000": {User: "1000", Group: "1000"},
		"_apt:dialout": {"_apt", "dialout"},
		"host$":        {User: "host$"},
		"a.b-c_d":      {User: "a.b-c_d"}, "4294967294": {User: "4294967294"},
	} {
		got, err := app.ParseAccount(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", ":", "a:", ":a", "-1", "1x", "a b", "a/b", "a:b:c", "4294967295", "a\n", "ä"} {
		_, err := app.ParseAccount(text)
		require.ErrorContains(t, err, "; write a name, a number, or either with a group", text)
	}
}

func FuzzParseAccount(f *testing.F) {
	for _, s := range []string{"root", "1000:1000", "a:", "_apt:dialout"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := app.ParseAccount(text)
		if err != nil {
			return
		}
		again := a.User
		if a.Group != "" {
			again += ":" + a.Group
		}
		require.Equal(t, text, again)
	})
}
