// Command packer does the part of `make packages` that neither nfpm nor a shell does.
//
//	shared <deb> <folder>…             takes folders out of a deb that are the system's, though nobody has packed them
//	sbom   <program> <version> <file>  what is in a program, as CycloneDX
//
// The same input gives the same bytes. $SOURCE_DATE_EPOCH is the time of a bill.
package main

import (
	"fmt"
	"os"
)

var commands = map[string]func(args []string) error{"shared": shared, "sbom": sbom}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: packer shared|sbom …")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "packer %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
