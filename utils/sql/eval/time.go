package eval

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/baetyl/baetyl/utils/sql/value"
)

// isoLayout is the layout of times by default, as package time has it.
const isoLayout = "2006-01-02T15:04:05.000Z07:00"

// tokens of a layout and what package time calls them, longer ones first.
var tokens = []struct{ token, layout string }{
	{"yyyy", "2006"}, {"yy", "06"}, {"MMMM", "January"}, {"MMM", "Jan"}, {"MM", "01"}, {"M", "1"},
	{"dd", "02"}, {"d", "2"}, {"EEEE", "Monday"}, {"EEE", "Mon"}, {"D", "002"},
	{"HH", "15"}, {"hh", "03"}, {"h", "3"}, {"mm", "04"}, {"m", "4"}, {"ss", "05"}, {"s", "5"},
	{".SSSSSS", ".000000"}, {".SSS", ".000"}, {"a", "PM"}, {"XXX", "Z07:00"}, {"XX", "Z0700"},
}

// goLayout translates a layout. T, Z and all characters that are neither letters nor digits stand for themselves.
func goLayout(layout string) (string, error) {
	var b strings.Builder
next:
	for layout != "" {
		for _, t := range tokens {
			if rest, ok := strings.CutPrefix(layout, t.token); ok {
				b.WriteString(t.layout)
				layout = rest
				continue next
			}
		}
		c := layout[0]
		if c != 'T' && c != 'Z' && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			return "", fmt.Errorf("%q is not part of a layout", string(c))
		}
		b.WriteByte(c)
		layout = layout[1:]
	}
	return b.String(), nil
}

// zones are the zones that were used, by name. There are only a few hundred.
var zones sync.Map // of string → *time.Location

// zone finds Europe/Berlin or +08:00; UTC if name is empty.
func zone(name string) (*time.Location, error) {
	if known, ok := zones.Load(name); ok {
		return known.(*time.Location), nil
	}
	t, err := time.Parse("-07:00", name)
	if _, seconds := t.Zone(); err == nil && within(t, name) {
		return time.FixedZone("", seconds), nil
	}
	l, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, fmt.Errorf("%q is no zone: write a name such as Europe/Berlin, or a distance from -23:59 to +23:59",
			shorten(name))
	}
	zones.Store(name, l)
	return l, nil
}

var (
	sixty   = regexp.MustCompile(`[+-]\d\d:?60(\D|$)`)
	errZone = errors.New("its zone is beyond 23:59")
)

// within tells whether the zone of t, which was read from text, is less than a day away from UTC. Package time takes
// +24:00 too, and +05:60.
func within(t time.Time, text string) bool {
	_, seconds := t.Zone()
	return max(seconds, -seconds) < 24*60*60 && !(seconds%3600 == 0 && sixty.MatchString(text))
}

// texts are the layouts of times that are given as text without a layout: RFC 3339, and those of SQL, which are UTC.
var texts = []string{
	time.RFC3339Nano,
	"2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05",
	"2006-01-02T15:04:05",
	"2006-01-02",
}

// moment is the time of v: milliseconds since 1970 or text.
func moment(v any) (time.Time, error) {
	if s, ok := v.(string); ok {
		for _, layout := range texts {
			t, err := time.Parse(layout, s)
			switch {
			case err != nil:
			case !within(t, s):
				return time.Time{}, unreadable(v, errZone)
			default:
				return t, nil
			}
		}
	}
	return since1970(v, 1000)
}

// since1970 is the time of v units since 1970, perSecond of them a second.
func since1970(v any, perSecond int64) (time.Time, error) {
	us, err := value.Arith('*', v, 1e6/perSecond)
	if err == nil {
		us, err = value.Round(us, 0, value.Truncate)
	}
	if err != nil {
		return time.Time{}, unreadable(v, errors.New("it is not a time"))
	}
	n, ok := us.(int64)
	if !ok || n < -62167219200e6 || n >= 253402300800e6 { // years 0 to 9999
		return time.Time{}, unreadable(v, value.ErrRange)
	}
	return time.UnixMicro(n).UTC(), nil
}

// zoned moves t to the zone of argument i; UTC if it is missing.
func zoned(t time.Time, a []any, i int) time.Time {
	if i < len(a) {
		return t.In(a[i].(*time.Location))
	}
	return t.UTC()
}

func unixTimestamp(r *row, a []any) (any, error) {
	if len(a) == 0 {
		return r.Now.Unix(), nil
	}
	return a[0].(time.Time).Unix(), nil
}

func fromUnixtime(_ *row, a []any) (any, error) {
	t, err := since1970(a[0], 1)
	if err != nil {
		return nil, err
	}
	layout := isoLayout
	if len(a) > 1 {
		layout = a[1].(string)
	}
	return zoned(t, a, 2).Format(layout), nil
}

func dateFormat(_ *row, a []any) (any, error) {
	return zoned(a[0].(time.Time), a, 2).Format(a[1].(string)), nil
}

// toTimestamp is the milliseconds since 1970 of a text.
func toTimestamp(_ *row, a []any) (any, error) {
	if len(a) == 1 {
		t, err := moment(a[0])
		return t.UnixMilli(), err
	}
	zone := time.UTC
	if len(a) == 3 {
		zone = a[2].(*time.Location)
	}
	t, err := time.ParseInLocation(a[1].(string), value.Text(a[0]), zone)
	if err != nil {
		return nil, unreadable(a[0], errors.New("it does not have the layout"))
	}
	if !within(t, value.Text(a[0])) {
		return nil, unreadable(a[0], errZone)
	}
	return t.UnixMilli(), nil
}

// timeParts are the parts of a time that extract knows.
var timeParts = map[string]func(time.Time) int64{
	"year":    func(t time.Time) int64 { return int64(t.Year()) },
	"quarter": func(t time.Time) int64 { return int64(t.Month()+2) / 3 },
	"month":   func(t time.Time) int64 { return int64(t.Month()) },
	"week": func(t time.Time) int64 {
		_, week := t.ISOWeek()
		return int64(week)
	},
	"day":         func(t time.Time) int64 { return int64(t.Day()) },
	"doy":         func(t time.Time) int64 { return int64(t.YearDay()) },
	"dow":         func(t time.Time) int64 { return int64(t.Weekday()) },
	"hour":        func(t time.Time) int64 { return int64(t.Hour()) },
	"minute":      func(t time.Time) int64 { return int64(t.Minute()) },
	"second":      func(t time.Time) int64 { return int64(t.Second()) },
	"millisecond": func(t time.Time) int64 { return int64(t.Nanosecond() / 1e6) },
	"epoch":       func(t time.Time) int64 { return t.Unix() },
}

func part(name string) (func(time.Time) int64, error) {
	if f := timeParts[strings.ToLower(name)]; f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("%q is none of %s", name, strings.Join(slices.Sorted(maps.Keys(timeParts)), ", "))
}

// extract is a part of a time in UTC, or in the zone of the third argument.
func extract(_ *row, a []any) (any, error) {
	return a[0].(func(time.Time) int64)(zoned(a[1].(time.Time), a, 2)), nil
}
