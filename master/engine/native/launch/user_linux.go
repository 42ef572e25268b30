package launch

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls of package syscall change all threads of a process, those of this file the calling one: it is the one that
// calls exec.

// setGroups comes before mounts, which ask where the user may enter.
func setGroups(spec Spec) error {
	if spec.UID < 0 && spec.Groups == nil {
		return nil
	}
	ids := make([]uint32, len(spec.Groups), len(spec.Groups)+1)
	for i, g := range spec.Groups {
		ids[i] = uint32(g)
	}
	return call(sysSetgroups, uintptr(len(ids)), uintptr(unsafe.Pointer(unsafe.SliceData(ids[:cap(ids)]))), 0)
}

// asUser calls f with the rights on files that the program will have.
func asUser(spec Spec, f func() error) error {
	if spec.UID < 0 {
		return f()
	}
	uid, gid := os.Geteuid(), os.Getegid()
	if spec.GID >= 0 {
		_ = unix.Setfsgid(spec.GID) // tells no errors
	}
	_ = unix.Setfsuid(spec.UID)
	err := f()
	_ = unix.Setfsuid(uid)
	_ = unix.Setfsgid(gid)
	return err
}

// changeUser leaves the capabilities that spec names, in the sets that survive exec, and no others.
func changeUser(spec Spec) error {
	if spec.Privileged && spec.Capabilities == nil {
		return setIDs(spec)
	}
	have, err := getCaps()
	if err != nil {
		return err
	}
	var keep capSet
	for _, name := range spec.Capabilities {
		keep |= 1 << slices.Index(capabilities, name)
	}
	if lacks := keep &^ have.permitted; lacks != 0 {
		return fmt.Errorf("keep %s: this process does not have it", lacks)
	}
	if have.effective.has(unix.CAP_SETPCAP) { // without it there is nothing to drop that no_new_privs does not forbid
		if err := bound(keep); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil { // until exec
		return fmt.Errorf("keep capabilities: %w", err)
	}
	if err := setIDs(spec); err != nil {
		return err
	}
	return setCaps(keep)
}

func setIDs(spec Spec) error {
	if gid := uintptr(spec.GID); spec.GID >= 0 {
		if err := call(sysSetresgid, gid, gid, gid); err != nil {
			return fmt.Errorf("group %d: %w", spec.GID, err)
		}
	}
	if uid := uintptr(spec.UID); spec.UID >= 0 {
		if err := call(sysSetresuid, uid, uid, uid); err != nil {
			return fmt.Errorf("user %d: %w", spec.UID, err)
		}
	}
	return nil
}

// capSet has a bit for each capability.
type capSet uint64

func (c capSet) has(n int) bool { return c>>n&1 != 0 }

func (c capSet) String() string {
	for n, name := range capabilities {
		if c.has(n) {
			return name
		}
	}
	return fmt.Sprintf("capabilities %#x", uint64(c))
}

type capSets struct{ effective, permitted capSet }

func getCaps() (capSets, error) {
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return capSets{}, fmt.Errorf("read capabilities: %w", err)
	}
	return capSets{
		effective: capSet(data[0].Effective) | capSet(data[1].Effective)<<32,
		permitted: capSet(data[0].Permitted) | capSet(data[1].Permitted)<<32,
	}, nil
}

// secureBits are SECBIT_NOROOT, SECBIT_NO_SETUID_FIXUP, and the lock of both (capabilities(7)).
const secureBits = 0b1111

// bound makes sure that no exec adds a capability, and that the number 0 is a user like others.
func bound(keep capSet) error {
	for n := range 64 {
		if keep.has(n) {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(n), 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break // after the last one that the kernel knows
		}
		if err != nil {
			return fmt.Errorf("drop %s from the bounding set: %w", capSet(1)<<n, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, secureBits, 0, 0, 0); err != nil {
		return fmt.Errorf("set the secure bits: %w", err)
	}
	return nil
}

func setCaps(keep capSet) error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear the ambient capabilities: %w", err)
	}
	low, high := uint32(keep), uint32(keep>>32)
	data := [2]unix.CapUserData{
		{Effective: low, Permitted: low, Inheritable: low}, {Effective: high, Permitted: high, Inheritable: high},
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	for n := range capabilities {
		if !keep.has(n) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(n), 0, 0); err != nil {
			return fmt.Errorf("keep %s: %w", capSet(1)<<n, err)
		}
	}
	return nil
}

func call(number, a, b, c uintptr) error {
	if _, _, errno := unix.RawSyscall(number, a, b, c); errno != 0 {
		return errno
	}
	return nil
}
