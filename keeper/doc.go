//go:build unix

// Package keeper is the parent of the master and of all native services. It decides nothing: it starts what the master
// asks for, holds it, and keeps what came out of it until the master has taken it.
//
//	systemd/shell ─► keeper ─┬─► master ──► Client ──┐ one socket pair, wire.go
//	                         │◄───────────────────────┘
//	                         └─► processes ─► stdout, stderr ─► pipes ─► Output.File
//
// A master may end or be killed at any moment: processes run on, their output is written, how they ended is kept, and
// the next master learns all of it with its Hello. The keeper replaces itself by exec: its process id, its children and
// their pipes stay.
//
// One goroutine, the loop of Server, owns the state; the others post functions to it. Processes are forked on one
// locked thread, since the signal that the kernel sends to children when their parent dies is bound to the thread
// that forked. Nothing that decides waits for a disk, a console or the master.
//
// It knows no YAML, no network, no policy and no working directory.
package keeper
