// Command bench measures baetyl-hub and other brokers in one run on one machine, and prints the figures with the ratio
// of the hub's to the best of theirs. `make bench` prepares the brokers and runs it; docs/benchmarks.md explains the
// rows.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"sort"
	"time"
)

func main() {
	cache := flag.String("cache", "output/cache/bench", "folder with the brokers")
	only := flag.String("rows", "", "regular expression: the rows to measure")
	with := flag.String("brokers", "", "regular expression: the brokers to measure")
	d := flag.Duration("time", 3*time.Second, "of each measurement")
	rounds := flag.Int("rounds", 1, "measurements of each figure, broker after broker; the median counts")
	site := flag.String("functions", "", "folder of an installed baetyl: compare functions, not brokers")
	images := flag.String("images", "", "with -functions: run them in containers of the images that begin so")
	examples := flag.String("starts", "", "NAME=PREFIX of installed examples: compare how long they take to start")
	program := flag.String("operator", "", "path of a built baetyl: what the command line and the master cost")
	profiles := flag.Bool("profile", false, "say where the processor time of hubs goes; they must be built for it")
	relayAt := flag.String("relay", "", "address: be the bare relay, not the benchmark")
	flag.Parse()
	if *relayAt != "" {
		fmt.Fprintln(os.Stderr, relay(*relayAt))
		os.Exit(1)
	}
	if *examples != "" {
		if err := starts(*examples, *rounds); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if *program != "" {
		if err := operator(*program, *rounds); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if *site != "" {
		if err := functions(*site, *images, *cache, regexp.MustCompile(*only), *rounds, *d); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	rowFilter, brokerFilter := regexp.MustCompile(*only), regexp.MustCompile(*with)
	var list []*broker
	all, err := brokers(*cache)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, b := range all {
		if brokerFilter.MatchString(b.name) {
			list = append(list, b)
		}
	}
	if len(list) == 0 {
		fmt.Fprintf(os.Stderr, "no broker matches %s\n", *with)
		os.Exit(1)
	}
	chosen := slices.DeleteFunc(rows(), func(r row) bool { return !rowFilter.MatchString(r.name) })
	if *profiles {
		if err := profileRows(list, chosen, *d); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	machine(*d)
	fmt.Print("| row | unit |")
	for _, b := range list {
		fmt.Printf(" %s |", b.name)
	}
	fmt.Print(" ratio to the best peer |\n|---|---|")
	for range list {
		fmt.Print("---|")
	}
	fmt.Println("---|")
	failed := false
	for _, r := range chosen {
		failed = !measureRow(list, r, *d, *rounds) || failed
	}
	if failed {
		os.Exit(1)
	}
}

// measureRow prints a line of the table. It tells whether the hub could be measured.
func measureRow(list []*broker, r row, d time.Duration, rounds int) bool {
	values, errs := make([][]float64, len(list)), make([]error, len(list))
	for range rounds {
		for i, b := range list {
			if !r.suits(b) || errs[i] != nil {
				continue
			}
			v, err := measure(b, r, d)
			if err != nil {
				errs[i] = err
				continue
			}
			values[i] = append(values[i], v)
		}
	}
	fmt.Printf("| %s | %s |", r.name, r.unit)
	var own, best float64
	for i, b := range list {
		switch {
		case len(values[i]) > 0:
			v := median(values[i])
			fmt.Printf(" %s |", number(v))
			switch {
			case i == 0:
				own = v
			case !b.limit && (best == 0 || r.small == (v < best)):
				best = v
			}
		case errs[i] != nil:
			fmt.Printf(" – (%v) |", errs[i])
		default:
			fmt.Print(" |")
		}
	}
	if best > 0 {
		fmt.Printf(" %.2f |\n", own/best)
	} else {
		fmt.Println(" |")
	}
	return len(values[0]) > 0
}

// suits tells whether the row can be measured on b.
func (r row) suits(b *broker) bool {
	return (!b.limit || r.pair) && (!r.own || b.user != "")
}

func measure(b *broker, r row, d time.Duration) (float64, error) {
	defer b.stop()
	if err := b.start(); err != nil {
		return 0, fmt.Errorf("start: %w", err)
	}
	return r.run(b, d)
}

func median(v []float64) float64 {
	sort.Float64s(v)
	return v[len(v)/2]
}

func number(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.3f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
