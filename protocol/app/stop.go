package app

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Stop says how an instance is asked to end.
type Stop struct {
	// 0: that of the image (STOPSIGNAL), else SIGTERM
	Signal Signal `yaml:"signal,omitempty" json:"signal,omitempty"`
	// time until it is killed; 0: the key grace of conf.yml
	Grace time.Duration `yaml:"grace,omitempty" json:"grace,omitempty" validate:"min=0s"`
}

// Signal is a signal that asks a program to end. In a file it is a name, with or without SIG, or a number; its text is
// always the name where there is one. Its zero value is none; who sends a signal all the same sends SIGTERM.
type Signal int

// Real-time signals have no names in package syscall. RTMIN is that of the C libraries, which keep the first two.
const (
	rtMin     = 34
	rtMax     = 64
	rtMinName = "SIGRTMIN"
	rtMaxName = "SIGRTMAX"
)

// Signal is what the system calls it, SIGTERM for none.
func (s Signal) Signal() syscall.Signal {
	if s == 0 {
		return syscall.SIGTERM
	}
	return syscall.Signal(s)
}

// String is the name with SIG, or the number of a signal that has none.
func (s Signal) String() string {
	for name, n := range signals {
		if n == s.Signal() {
			return name
		}
	}
	switch {
	case s == rtMin:
		return rtMinName
	case s > rtMin && s <= rtMax:
		return fmt.Sprintf("%s+%d", rtMinName, s-rtMin)
	}
	return strconv.Itoa(int(s))
}

// MarshalText writes the name.
func (s Signal) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name or a number.
func (s *Signal) UnmarshalText(text []byte) error {
	v, err := ParseSignal(string(text))
	if err == nil {
		*s = v
	}
	return err
}

// Form implements conf.Former.
func (*Signal) Form() string { return "a signal such as SIGTERM" }

// UnmarshalYAML reads a name or a number.
func (s *Signal) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if unmarshal(&text) != nil {
		return errors.New("expected a signal such as SIGTERM, found a list or a mapping")
	}
	return s.UnmarshalText([]byte(text))
}

// ParseSignal reads a name, in any case, with or without SIG, SIGRTMIN+n and SIGRTMAX-n included, or a number.
func ParseSignal(text string) (Signal, error) {
	wrong := func(why string) (Signal, error) {
		return 0, fmt.Errorf("signal %q %s; write a name such as SIGTERM or SIGINT, or a number", text, why)
	}
	if n, err := strconv.ParseUint(text, 10, 8); err == nil {
		if n < 1 || n > rtMax {
			return wrong("does not exist")
		}
		if endsNothing[syscall.Signal(n)] != "" {
			return wrong("ends no program")
		}
		return Signal(n), nil
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if n, ok := signals[name]; ok {
		return Signal(n), nil
	}
	for _, never := range endsNothing {
		if name == never {
			return wrong("ends no program")
		}
	}
	if n, ok := realTime(name); ok {
		return n, nil
	}
	return wrong("does not exist, or is none that asks a program to end")
}

// realTime reads SIGRTMIN, SIGRTMIN+n, SIGRTMAX and SIGRTMAX-n.
func realTime(name string) (Signal, bool) {
	base, sign := Signal(rtMin), Signal(1)
	rest, ok := strings.CutPrefix(name, rtMinName)
	if !ok {
		base, sign = rtMax, -1
		if rest, ok = strings.CutPrefix(name, rtMaxName); !ok {
			return 0, false
		}
	}
	if rest == "" {
		return base, true
	}
	if sign > 0 && rest[0] != '+' || sign < 0 && rest[0] != '-' {
		return 0, false
	}
	n, err := strconv.ParseUint(rest[1:], 10, 8)
	if err != nil || n > rtMax-rtMin {
		return 0, false
	}
	return base + sign*Signal(n), true
}
