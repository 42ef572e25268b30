// Command bench measures baetyl-hub beside other brokers, in one run on one machine, and prints each figure with its ratio to
// theirs. `make bench` prepares the brokers and runs it; docs/benchmarks.md explains the rows.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"time"
)

func main() {
	cache := flag.String("cache", "output/cache/bench", "folder with the brokers")
	only := flag.String("rows", "", "regular expression: the rows to measure")
	with := flag.String("brokers", "", "regular expression: the brokers to measure")
	d := flag.Duration("time", 3*time.Second, "of each measurement")
	flag.Parse()
	rowFilter, brokerFilter := regexp.MustCompile(*only), regexp.MustCompile(*with)
	var list []*broker
	for _, b := range brokers(*cache) {
		if brokerFilter.MatchString(b.name) {
			list = append(list, b)
		}
	}
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
	for _, r := range rows() {
		if !rowFilter.MatchString(r.name) {
			continue
		}
		fmt.Printf("| %s | %s |", r.name, r.unit)
		var own, best float64
		for i, b := range list {
			v, err := measure(b, r, *d)
			if err != nil {
				fmt.Printf(" – (%v) |", err)
				failed = failed || i == 0
				continue
			}
			fmt.Printf(" %s |", number(v))
			switch {
			case i == 0:
				own = v
			case best == 0 || r.small == (v < best):
				best = v
			}
		}
		if best > 0 {
			fmt.Printf(" %.2f |\n", own/best)
		} else {
			fmt.Println(" – |")
		}
	}
	if failed {
		os.Exit(1)
	}
}

func measure(b *broker, r row, d time.Duration) (float64, error) {
	defer b.stop()
	if err := b.start(); err != nil {
		return 0, fmt.Errorf("start: %w", err)
	}
	return r.run(b, d)
}

func number(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
