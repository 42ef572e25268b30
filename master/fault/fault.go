//go:build !faults

// Package fault names the points of an update at which tests kill the master (kill -9, as a power cut does). A normal
// build contains nothing of it; one with the tag faults ends itself with SIGKILL at the point that the environment
// variable BAETYL_FAULT names, once. docs/reliability.md lists the points.
package fault

// At is passed when everything before it is on disk.
func At(string) {}
