package app

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Account is a user of the host with an optional group, each by name or by number.
type Account struct {
	User string
	// empty: the groups that the host has for User; for a number without a name, the group of the same number
	Group string
}

// maxID is the largest number of a user; the one above it means "do not change" to the system.
const maxID = 1<<32 - 2

// accountRule is what useradd takes.
var accountRule = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_.-]*[$]?$`)

// ParseAccount reads user[:group].
func ParseAccount(text string) (Account, error) {
	user, group, both := strings.Cut(text, ":")
	err := CheckAccount(user)
	if err == nil && both {
		err = CheckAccount(group)
	}
	if err != nil {
		return Account{}, fmt.Errorf("user %q: %w; write a name, a number, or either with a group: 1000:1000", text, err)
	}
	return Account{User: user, Group: group}, nil
}

// CheckAccount tells whether name may be that of a user or a group, or its number. Only a host knows whether it is.
func CheckAccount(name string) error {
	switch {
	case name == "":
		return errors.New("a name is missing")
	case name[0] >= '0' && name[0] <= '9':
		if n, err := strconv.ParseUint(name, 10, 32); err != nil || n > maxID {
			return fmt.Errorf("%q is not a number from 0 to %d", name, uint32(maxID))
		}
	case len(name) > 64 || !accountRule.MatchString(name):
		return fmt.Errorf("%q is not a name", name)
	}
	return nil
}

// checkOwner checks the owner of a volume: a service of the application, or else a user of the host.
func checkOwner(owner string, services map[string]int) error {
	if owner == "" {
		return nil
	}
	if _, ok := services[owner]; ok {
		return nil
	}
	if _, err := ParseAccount(owner); err != nil {
		return fmt.Errorf("owner: there is no service %q; %w", owner, err)
	}
	return nil
}
