// Command installer does the part of `make` that is hard in shell: it packs and unpacks module packages, copies
// the example without touching what a user changed, makes the test certificates, and removes what was installed.
//
//	pack     <module dir> <zip>           module dir ─► package.zip (package.yml, bin/, …)
//	unpack   <zip> <package dir>          package.zip ─► package dir, whole or not at all
//	own      <module dir> <package dir>   package of a module that baetyl itself is, without a program
//	tree     <example dir> <prefix>       etc/ and var/ ─► prefix, new and unchanged files only
//	certs    <dir>                        CA, server and client certificate for tests, where they are missing
//	roots    <file>                       CA roots that the public trusts, for images
//	remove   [-purge] <prefix> <module>…  undo an install
//	announce -pid <master> -address <host:port> -log <file>   text of stdin, once the hub listens and the log is quiet
//
// It promises that a second run changes nothing that is as it should be, and that no file of the user is overwritten
// or deleted without `-purge`. It needs no zip, unzip or openssl. It does not build, and uses no
// network.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

var commands = map[string]func(args []string, out io.Writer) error{
	"pack":     pack,
	"unpack":   unpack,
	"own":      own,
	"tree":     tree,
	"certs":    certs,
	"roots":    roots,
	"remove":   remove,
	"announce": announce,
}

func main() {
	signal.Ignore(syscall.SIGPIPE)
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: installer pack|unpack|own|tree|certs|roots|remove|announce …")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "installer %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// positional returns the arguments of a command that takes exactly those named.
func positional(args []string, names ...string) ([]string, error) {
	if len(args) != len(names) {
		return nil, fmt.Errorf("expected %d arguments %v, got %q", len(names), names, args)
	}
	return args, nil
}

// flags parses args and returns what follows the flags.
func flags(fs *flag.FlagSet, args []string) ([]string, error) {
	fs.SetOutput(io.Discard)
	if err := fs.Parse(args); err != nil {
		return nil, errors.Join(errors.New("read the arguments"), err)
	}
	return fs.Args(), nil
}
