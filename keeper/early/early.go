//go:build unix

// Package early makes the program that imports it a keeper when it is called as `baetyl start`, before the packages of
// the master are initialised: their memory is most of what a keeper would hold. It is imported for that alone, and
// imports nothing that other packages bring along.
package early

import "github.com/baetyl/baetyl/keeper"

func init() { keeper.Early(keeper.Options{}) }
