package keeper

import "syscall"

func init() { ending = append(ending, syscall.SIGPWR) }
