// Command cloud is a small cloud for devices that run baetyl-agent, to try updates with and to read before you write
// your own. docs/cloud-protocol.md describes every message, docs/tutorials/cloud.md walks through it.
//
//	cloud push ──► files ──► cloud serve ──event──► baetyl-hub (inside, mutual TLS) ──► agent of the device
//	cloud show ◄── files ◄── cloud serve ◄──reports, GET of packages── HTTPS (mutual TLS) ◄──┘
//
// It promises that a device is who its certificate says and sees nothing of the others, that what was pushed is not
// forgotten until the device has it or something newer, and that a step which a device reports is on disk before it
// is answered. The commands need no server to talk to: all of them work on one folder, of which `serve` is the only
// one to run all the time.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

// execute runs the command that args (os.Args without the program) name, and returns the exit status.
func execute(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var dir string
	root := &cobra.Command{
		Use:               "cloud",
		Short:             "A small cloud for devices with baetyl-agent",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.PersistentFlags().StringVarP(&dir, "data", "d", "cloud-data", "folder of this cloud")
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	opened := func(run func(s *store, args []string) error) func(*cobra.Command, []string) error {
		return func(_ *cobra.Command, args []string) error {
			s, err := openStore(dir)
			if err != nil {
				return err
			}
			return run(s, args)
		}
	}

	var first settings
	initialize := &cobra.Command{
		Use:   "init",
		Short: "Make the folder of a new cloud, with a CA of its own",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return initStore(dir, first) },
	}
	initialize.Flags().StringSliceVar(
		&first.Host,
		"host",
		[]string{"localhost"},
		"names and addresses of this machine; devices use the first",
	)
	initialize.Flags().IntVar(&first.MQTT, "mqtt", 8885, "port of MQTT over TLS")
	initialize.Flags().IntVar(&first.HTTPS, "https", 8886, "port of HTTPS")

	serve := &cobra.Command{Use: "serve", Short: "Serve devices until Ctrl-C", Args: cobra.NoArgs,
		RunE: opened(func(s *store, _ []string) error { return serve(ctx, s, stderr) })}

	device := &cobra.Command{Use: "device", Short: "Add and remove devices"}
	device.AddCommand(
		&cobra.Command{
			Use:   "add <device> <folder>",
			Short: "Make a certificate, and the agent's configuration in a new folder",
			Args:  cobra.ExactArgs(2),
			RunE:  opened(func(s *store, args []string) error { return s.addDevice(args[0], args[1]) }),
		},
		&cobra.Command{
			Use:   "remove <device>",
			Short: "Lock a device out, and forget what it reported",
			Args:  cobra.ExactArgs(1),
			RunE:  opened(func(s *store, args []string) error { return s.removeDevice(args[0]) }),
		},
	)

	var version string
	var master, wait bool
	push := &cobra.Command{
		Use:   "push <device> <path>",
		Short: "Update a device",
		Args:  cobra.ExactArgs(2),
		Long: "Update a device to the application in the folder <path>: application.yml [and metadata.yml], and a folder " +
			"for each volume\n" +
			"that is to be sent, with the volume's name. With --master: update its master to the binary <path>.",
		RunE: opened(func(s *store, args []string) error {
			trace, err := s.push(args[0], args[1], version, master)
			if err != nil {
				return err
			}
			fmt.Fprintln(stdout, "pushed as", trace)
			if !wait {
				return nil
			}
			return s.wait(ctx, args[0], trace, stdout)
		}),
	}
	push.Flags().StringVar(&version, "version", "", "what it is shown as (default: the version in application.yml)")
	push.Flags().BoolVar(&master, "master", false, "the master's binary instead of an application")
	push.Flags().BoolVar(
		&wait,
		"wait",
		false,
		"print the steps and wait for the last one; the exit status says whether the update is in place",
	)

	show := &cobra.Command{
		Use:   "show [device]",
		Short: "Print what devices have reported, and how their updates went",
		Args:  cobra.MaximumNArgs(1),
		RunE: opened(func(s *store, names []string) (err error) {
			if len(names) == 0 {
				names, err = s.devices()
			}
			for _, name := range names {
				err = errors.Join(err, s.show(name, stdout, time.Now()))
			}
			return err
		}),
	}

	root.AddCommand(initialize, serve, device, push, show)
	if err := root.Execute(); err != nil {
		fmt.Fprintln(stderr, "cloud:", err)
		return 1
	}
	return 0
}
