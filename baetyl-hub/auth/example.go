package auth

import (
	"crypto/subtle"
	"slices"

	"golang.org/x/crypto/bcrypt"
)

// examples are the passwords in the documents of Baetyl and in its examples: everybody knows them. They are not hashes,
// since a bcrypt hash can be compared with nothing but the password itself.
var examples = []string{"hahaha"}

// HasExamplePassword tells whether the user logs in with a password out of the documents. For a bcrypt hash that takes
// as long as a login.
func (u *User) HasExamplePassword() bool {
	return u.password != nil && slices.ContainsFunc(examples, func(known string) bool {
		if isHash(u.password) {
			return bcrypt.CompareHashAndPassword(u.password, []byte(known)) == nil
		}
		return subtle.ConstantTimeCompare(u.password, []byte(known)) == 1
	})
}
