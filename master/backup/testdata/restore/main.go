// Command restore restores a backup, or ends a restore that was interrupted, for tests that kill it.
package main

import (
	"fmt"
	"os"

	"github.com/baetyl/baetyl/master/backup"
)

func main() {
	mode, dir, archive := os.Args[1], os.Args[2], os.Args[3]
	var err error
	if mode == "recover" {
		err = backup.Recover(dir)
	} else {
		var f *os.File
		if f, err = os.Open(archive); err == nil {
			_, err = backup.Restore(f, backup.RestoreOptions{Workdir: dir, Force: true})
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
