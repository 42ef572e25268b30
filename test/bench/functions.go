package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"time"
)

// The comparison of functions: messages on <name>/in are handled and published on <name>/out, by the function manager
// with its runtimes, by a plain script that subscribes, handles and publishes, as one would write without Baetyl, or by
// a stream engine.

// language is a way to run a function.
type language struct {
	name, module, handler string
	file, code            string   // of the function
	plain                 []string // command of the plain script, followed by port and name; nil: there is none
}

// runtimes are the runtimes that are compared. One whose package is not installed is left out.
var runtimes = []language{
	{
		"Python", "baetyl-function-python36", "echo.handler",
		"echo.py", "def handler(event, context):\n    return event\n",
		[]string{"output/cache/paho/bin/python", "test/bench/testdata/plain.py"},
	},
	{
		"Node", "baetyl-function-node85", "echo.handler",
		"echo.js", "exports.handler = (event, context, callback) => callback(null, event)\n",
		[]string{"node", "test/bench/testdata/plain.js"},
	},
	{"SQL", "baetyl-function-sql", "select * where id >= 0", "", "", nil},
}

// contender is a column of the table.
type contender int

const (
	own     contender = iota // the function
	plain                    // the plain script
	durable                  // the same with a session that is kept
	engine                   // the stream engine
)

var (
	contenders = []contender{own, plain, durable, engine}
	headings   = []string{"function", "plain script", "durable plain script", "stream engine"}
	prefixes   = []string{"", "plain-", "durable-", "stream-"}
)

// functionRow is one measurement. It may give more than one figure, each with a line of the table.
type functionRow struct {
	language *language
	name     string
	units    []string // of the figures; a quantile stands in front: "p50 µs"
	with     []contender
	run      func(c contender, name string, d time.Duration) ([]float64, error)
}

// name is what the function of a row, or what is in its place, is called.
func (r functionRow) of(c contender) string { return prefixes[c] + r.language.name }

// functions prints the table: each chosen row in rounds, in which the contenders take turns, and the medians.
func functions(prefix, images, cache string, chosen *regexp.Regexp, rounds int, d time.Duration) error {
	dir, err := filepath.Abs(prefix)
	if err != nil {
		return err
	}
	s := &site{dir: dir, images: images, cache: cache}
	rows := slices.DeleteFunc(s.rows(), func(r functionRow) bool { return !chosen.MatchString(r.name) })
	if len(rows) == 0 {
		return fmt.Errorf("no row matches %s", chosen)
	}
	s.hundred = slices.ContainsFunc(rows, func(r functionRow) bool { return r.name == coldRow })
	if err := s.start(); err != nil {
		return err
	}
	defer s.stop()
	fmt.Printf("| row | unit | %s |", headings[own])
	for _, c := range contenders[1:] {
		fmt.Printf(" %s | ratio |", headings[c])
	}
	fmt.Println("\n|---|---|---|---|---|---|---|---|---|")
	failed := 0
	for i, r := range rows {
		if err := s.others(r); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		if !s.compare(r, rounds, d) {
			failed++
		}
		if i+1 == len(rows) || rows[i+1].language != r.language {
			s.stopOthers()
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d rows have no figure of the function", failed)
	}
	return nil
}

// compare prints the lines of a row. It tells whether the function could be measured. What cannot be measured has its
// reason in the table.
func (s *site) compare(r functionRow, rounds int, d time.Duration) bool {
	values, errs := make([][][]float64, len(contenders)), make([]error, len(contenders))
	for range rounds {
		for _, c := range r.with {
			if errs[c] != nil || c == engine && len(s.engine) == 0 {
				continue
			}
			v, err := r.run(c, r.of(c), d)
			if errs[c] = err; err == nil {
				values[c] = append(values[c], v)
			}
		}
	}
	for i, unit := range r.units {
		fmt.Printf("| %s | %s |", r.name, unit)
		var first float64
		for _, c := range contenders {
			var of []float64
			for _, v := range values[c] {
				of = append(of, v[i])
			}
			switch {
			case errs[c] != nil:
				fmt.Printf(" – (%v) |", errs[c])
			case len(of) == 0:
				fmt.Print(" |")
			default:
				fmt.Printf(" %s |", number(median(of)))
			}
			switch {
			case c == own && len(of) > 0:
				first = median(of)
			case c != own && len(of) > 0 && errs[own] == nil:
				fmt.Printf(" %.2f |", first/median(of))
			case c != own:
				fmt.Print(" |")
			}
		}
		fmt.Println()
	}
	return errs[own] == nil
}

const coldRow = "100 functions, one message each, all cold"

// rows are all that can be measured here.
func (s *site) rows() (rows []functionRow) {
	scripts := []contender{own, plain, durable}
	for i := range runtimes {
		l := &runtimes[i]
		if !s.has(l.module) {
			continue
		}
		beside := func(with ...contender) []contender {
			return slices.DeleteFunc(slices.Clone(with), func(c contender) bool {
				return c == engine && l.name != "SQL" || l.plain == nil && (c == plain || c == durable)
			})
		}
		add := func(name string, units []string, with []contender,
			run func(c contender, name string, d time.Duration) ([]float64, error)) {
			rows = append(rows, functionRow{l, l.name + ", " + name, units, with, run})
		}
		for qos, with := range [][]contender{{own, plain, engine}, contenders} { // at QoS 0 a session makes no difference
			add(fmt.Sprintf("warm round trip, QoS %d", qos), []string{"p50 µs", "p99 µs"}, beside(with...),
				func(c contender, name string, d time.Duration) ([]float64, error) {
					t, err := s.roundTrips(at(c, name, 1, qos), qos, d)
					if err != nil {
						return nil, err
					}
					return []float64{quantile(t, 0.5), quantile(t, 0.99)}, nil
				})
		}
		if s.images != "" { // the hub is behind docker's proxy, the scripts are not
			s.addCold(add)
			continue
		}
		for _, n := range []int{1, 4} {
			add(fmt.Sprintf("QoS 1, 64 under way, instances: %d", n), []string{"msg/s"}, beside(contenders...),
				func(c contender, name string, d time.Duration) ([]float64, error) {
					rate, err := s.throughput(at(c, name, n, 1), 64, d)
					return []float64{rate}, err
				})
		}
		add("QoS 1, 1,000 under way, none lost", []string{"msg/s"}, beside(contenders...),
			func(c contender, name string, d time.Duration) ([]float64, error) {
				rate, err := s.throughput(at(c, name, 1, 1), 1000, d)
				return []float64{rate}, err
			})
		add("QoS 0, a burst of 60,000, none lost", []string{"msg/s"}, beside(own, plain, engine),
			func(c contender, name string, _ time.Duration) ([]float64, error) {
				rate, err := s.burst(at(c, name, 1, 0), 60000)
				return []float64{rate}, err
			})
		add("memory of an idle instance", []string{"MiB"}, beside(scripts...),
			func(c contender, name string, _ time.Duration) ([]float64, error) {
				pid := s.pid(l.module, at(c, name, 1, 0))
				if c != own {
					pid = s.scripts[c].Process.Pid
				}
				return []float64{rssOf(pid) / 1024 / 1024}, nil
			})
		s.addCold(add)
		if l.name == "Python" {
			rows = append(rows, functionRow{l, coldRow, []string{"s", "× 100 cold starts / cores"}, []contender{own},
				func(_ contender, _ string, _ time.Duration) ([]float64, error) { return s.allCold() }})
		}
	}
	return rows
}

func (s *site) addCold(add func(string, []string, []contender,
	func(contender, string, time.Duration) ([]float64, error))) {
	add("cold start to first result", []string{"ms"}, []contender{own},
		func(_ contender, name string, _ time.Duration) ([]float64, error) {
			t, err := s.coldStarts(name+"-cold", 5)
			if err != nil {
				return nil, err
			}
			return []float64{quantile(t, 0.5)}, nil
		})
}

// allCold measures 100 functions that get one message each at once, when none of them runs: how long it takes, and how
// many times as long as 100 cold starts of one function would, spread over the cores.
func (s *site) allCold() ([]float64, error) {
	one, err := s.coldStarts("Python-cold", 5)
	if err != nil {
		return nil, err
	}
	took, err := s.hundredResults()
	if err != nil {
		return nil, err
	}
	bound := 100 * quantile(one, 0.5) / 1000 / float64(runtime.NumCPU())
	return []float64{took, took / bound}, nil
}

// at is where a contender takes messages: a function of n instances, a stream engine for each QoS.
func at(c contender, name string, n, qos int) string {
	switch c {
	case own:
		return fmt.Sprintf("%s-%d", name, n)
	case engine:
		return fmt.Sprintf("%s-%d", name, qos)
	}
	return name
}

// rssOf returns the memory that a process has to itself or shares, in bytes.
func rssOf(pid int) float64 {
	var size, pages int
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	_, _ = fmt.Sscan(string(text), &size, &pages)
	return float64(pages * os.Getpagesize())
}
