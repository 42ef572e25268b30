//go:build unix && !linux

package native

// noexec is not looked up on this system.
func noexec(string) (where string, ok bool) { return "", false }

// hostMachines are not known on this system.
func hostMachines() (machines map[uint16]bool, name string) { return nil, "" }

// foreign tells that this system alone knows what it runs.
func foreign(_ string, head []byte) bool { return len(head) < 2 || string(head[:2]) != "#!" }
