// Package faultfs is a disk that fails when a test wants it to: a file.FS over a temporary folder.
//
//	faultfs.Each(t, faultfs.Options{}, func(t *testing.T, d *faultfs.FS) {
//		fill d.Dir() by package os        // all of it is durable
//		d.Start()
//		run what is tested on d.Disk()    // one operation of it meets the fault
//		d.Reboot()                        // after a power cut: what was not synced is gone
//		check d.Dir() by package os
//	})
//
// Model of durability, the least that POSIX promises, with one addition that all journalling file systems make (a
// rename is in both folders or in none):
//   - what is in a file is durable after Sync of the file, its name after Sync of the folder that holds it;
//   - changes of a folder become durable in the order in which they were made.
//
// Changes that tests or programs make to the folder without the FS are not part of the model.
package faultfs

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// Kind is a way to fail.
type Kind int

// The operation that meets the fault is not carried out, unless the kind says more. NoSpace, Full and Short meet only
// operations that need space.
const (
	None     Kind = iota // no fault; operations are counted
	Error                // the operation fails with EIO, the next one works
	NoSpace              // the operation fails with ENOSPC, the next one works
	Full                 // it and all that need space fail with ENOSPC, until Reboot
	Short                // a write writes half and fails with ENOSPC
	Kill                 // the process ends here; the disk keeps all that was done
	Cut                  // the power fails here; all that was not synced is gone
	CutNames             // … names that were not synced are gone; contents are there
	CutData              // … names are there; contents that were not synced are gone
	CutTorn              // … names are there; of contents that were not synced the second half is zeros
)

var kinds = map[Kind]string{
	None:     "none",
	Error:    "error",
	NoSpace:  "no space",
	Full:     "full",
	Short:    "short write",
	Kill:     "kill",
	Cut:      "cut",
	CutNames: "cut, names lost",
	CutData:  "cut, contents lost",
	CutTorn:  "cut, contents torn",
}

func (k Kind) String() string { return kinds[k] }

// Ends tells whether the process ends with this fault.
func (k Kind) Ends() bool { return k >= Kill }

// All are the kinds of a whole run.
var All = []Kind{Error, NoSpace, Full, Short, Kill, Cut, CutNames, CutData, CutTorn}

// Fault is the kind that the N-th operation meets, counted from 1. One of a kind that ends the process comes at the
// latest with Reboot.
type Fault struct {
	N    int
	Kind Kind
}

// Op is an operation that was carried out.
type Op struct {
	Name string // as "rename f"
	need need
}

// need is what an operation needs of the disk, and so how it can fail.
type need int

const (
	reads need = iota
	changes
	space
	write
)

// can tells whether an operation with this need can meet k in a way that differs from other operations.
func (n need) can(k Kind) bool {
	switch {
	case k == Error:
		return true
	case k.Ends():
		return n >= changes
	case k == Short:
		return n == write
	default:
		return n >= space
	}
}

// ErrOff is what every operation returns after the process has ended.
var ErrOff = errors.New("faultfs: the process has ended")

var errFull = fmt.Errorf("faultfs: %w", syscall.ENOSPC)

// Options of Each.
type Options struct {
	Kinds []Kind // nil: All
	Every int    // run only every so many faults; 0 and 1: all
}

// Sample is every nth fault, or all of them where the environment variable all is set.
func Sample(all string, n int) Options {
	if os.Getenv(all) != "" {
		return Options{}
	}
	return Options{Every: n}
}

// Each runs test without a fault, then once for each operation of that run and each kind. Operations that goroutines
// make in another order meet the fault at another place, or not at all.
func Each(t *testing.T, o Options, test func(t *testing.T, d *FS)) {
	t.Helper()
	if o.Kinds == nil {
		o.Kinds = All
	}
	var ops []Op
	if !t.Run("without", func(t *testing.T) {
		d := New(t, Fault{})
		test(t, d)
		ops = d.Ops()
		if len(ops) == 0 {
			t.Fatal("the test has made no operation between Start and Reboot")
		}
	}) {
		return
	}
	ops = append(ops, Op{Name: "end", need: changes})
	for i, op := range ops {
		for j, k := range o.Kinds {
			if !op.need.can(k) || op.Name == "end" && !k.Ends() || (i+j)%max(o.Every, 1) != 0 {
				continue
			}
			t.Run(fmt.Sprintf("%03d %s/%s", i+1, op.Name, k), func(t *testing.T) { test(t, New(t, Fault{N: i + 1, Kind: k})) })
		}
	}
}
