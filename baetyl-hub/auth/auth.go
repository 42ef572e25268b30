// Package auth decides which clients may connect to the hub and which topics they may use (`principals` of the
// configuration).
//
// A principal with a password is an account: its clients log in with user name and password, over any transport. A
// principal without a password is a certificate principal: its clients log in with the user name, without password, and
// with a client certificate of the configured CA. Common name or serial number may bind it to one certificate. With
// `certificate.username: cn` the certificate has the user name.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/topic"
)

// Actions of a permission.
const (
	Publish   = "pub"
	Subscribe = "sub"
)

// Principal is an entry of `principals`.
type Principal struct {
	Username string `yaml:"username" json:"username" validate:"nonzero"`
	// plain text or a bcrypt hash ($2a$, $2b$, $2y$); empty: certificate principal
	Password conf.Secret `yaml:"password" json:"password"`
	// certificate principal: common name that the certificate must have
	CN string `yaml:"cn" json:"cn"`
	// certificate principal: decimal serial number that the certificate must have
	SerialNumber string `yaml:"serialnumber" json:"serialnumber"`
	// patterns of the client ids that it uses, and others don't; none: it uses all that nobody reserves
	ClientIDs   []string     `yaml:"clientids" json:"clientids"`
	Permissions []Permission `yaml:"permissions" json:"permissions"`
	// where they differ from limits.principal; 0: they do not
	Limits budget.Limits `yaml:"limits" json:"limits"`
}

// Permission allows an action on the topics that its filters match.
type Permission struct {
	Action string   `yaml:"action" json:"action" validate:"nonzero, oneof=pub|sub"`
	Permit []string `yaml:"permit" json:"permit"`
}

// Book holds the principals. It is not changed after New and may be used from any goroutine.
type Book struct {
	users    map[string]*User
	list     []Principal // as configured: see Explain
	byCN     bool        // see ByCommonName
	cost     int         // the largest of a bcrypt hash; 0: there is none
	reserved reserved
	limits   map[string]budget.Limits // of those that have some of their own, by name
	warnings []string
}

// User is a principal.
type User struct {
	Name     string
	password []byte // nil: certificate principal
	cn       string
	serial   string
	ids      []idPattern         // none: all that nobody reserves
	permits  map[string][]string // action → filters
	own      map[string][]string // the same of permits with the client id; nil: none
}

// ErrRefused is the error of every failed login. What wraps it is for the log: clients are not told what was wrong.
var ErrRefused = errors.New("not accepted")

var errPassword = fmt.Errorf("%w: wrong password", ErrRefused)

// New checks the principals and returns them. An error names the key of the configuration.
func New(list []Principal, limits topic.Limits) (*Book, error) {
	b := &Book{users: make(map[string]*User, len(list)), list: list, limits: map[string]budget.Limits{}}
	for i, p := range list {
		if b.users[p.Username] != nil {
			return nil, fmt.Errorf("principals[%d].username: %q stands twice; names must be unique", i, p.Username)
		}
		u := &User{Name: p.Username, cn: p.CN, serial: p.SerialNumber, permits: map[string][]string{}}
		if p.Password != "" {
			if p.CN != "" || p.SerialNumber != "" {
				return nil, fmt.Errorf("principals[%d]: cn and serialnumber are for principals without password; "+
					"leave out the password or both of them", i)
			}
			if u.password = []byte(p.Password); isHash(u.password) {
				b.cost = max(b.cost, costOf(u.password))
			}
		}
		if err := b.setClientIDs(u, p.ClientIDs); err != nil {
			return nil, fmt.Errorf("principals[%d].%w", i, err)
		}
		for j, x := range p.Permissions {
			for k, f := range x.Permit {
				if err := limits.CheckFilter(f); err != nil {
					return nil, fmt.Errorf("principals[%d].permissions[%d].permit[%d]: %w", i, j, k, err)
				}
				if w := u.permit(x.Action, f); w != "" {
					b.warnings = append(b.warnings, fmt.Sprintf("principals[%d].permissions[%d].permit[%d]: %s", i, j, k, w))
				}
			}
		}
		b.users[p.Username] = u
		if p.Limits != (budget.Limits{}) {
			b.limits[p.Username] = p.Limits
		}
	}
	return b, nil
}

// ByCommonName returns a Book whose certificate principals need a certificate with their name as common name, unless cn
// or serialnumber says which one they need. Their clients may leave the user name out.
func (b *Book) ByCommonName() *Book {
	x := *b
	x.byCN, x.users = true, maps.Clone(b.users)
	for name, u := range x.users {
		if u.password == nil && u.cn == "" && u.serial == "" {
			bound := *u
			bound.cn = name
			x.users[name] = &bound
		}
	}
	return &x
}

// quick checks all of a login but a bcrypt hash, which the caller does if the user has one and the error is nil. cert
// is the client's verified certificate, nil if it has none.
func (b *Book) quick(username, password string, cert *x509.Certificate) (*User, error) {
	named := b.byCN && username == "" && password == "" && cert != nil
	if named {
		username = cert.Subject.CommonName
	}
	u := b.users[username]
	switch {
	case named && (u == nil || username == ""):
		return nil, fmt.Errorf("%w: no principal has the certificate's common name %.128q", ErrRefused, username)
	case named && u.password != nil:
		return nil, fmt.Errorf("%w: the certificate names the principal %.128q, who needs a password", ErrRefused, username)
	case u == nil || username == "":
		return nil, fmt.Errorf("%w: no principal has this name", ErrRefused)
	case u.password == nil:
		return u.certified(password, cert)
	case isHash(u.password):
		return u, nil
	}
	// Digests have the same length, so the time of the comparison does not reveal the length of the password.
	want, got := sha256.Sum256(u.password), sha256.Sum256([]byte(password))
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		return nil, errPassword
	}
	return u, nil
}

// certified checks the login of a certificate principal.
func (u *User) certified(password string, cert *x509.Certificate) (*User, error) {
	switch {
	case password != "":
		return nil, fmt.Errorf("%w: a certificate principal sends no password", ErrRefused)
	case cert == nil:
		return nil, fmt.Errorf("%w: no client certificate of certificate.ca", ErrRefused)
	case u.cn != "" && u.cn != cert.Subject.CommonName || u.serial != "" && u.serial != cert.SerialNumber.String():
		return nil, fmt.Errorf("%w: the certificate is not the one that cn and serialnumber name", ErrRefused)
	}
	return u, nil
}

// Warnings names permits that do not say what they seem to.
func (b *Book) Warnings() []string { return b.warnings }

// All returns the principals, sorted by name.
func (b *Book) All() []*User {
	out := make([]*User, 0, len(b.users))
	for _, name := range slices.Sorted(maps.Keys(b.users)) {
		out = append(out, b.users[name])
	}
	return out
}

// User returns the principal of that name, nil if there is none. It checks no password.
func (b *Book) User(username string) *User { return b.users[username] }

// Limits returns the limits of a principal: its own, and those of base elsewhere.
func (b *Book) Limits(username string, base budget.Values) budget.Values {
	return b.limits[username].Or(base)
}

// Rate returns the publish rate of a principal: its own, and that of base elsewhere.
func (b *Book) Rate(username string, base budget.Rate) budget.Rate {
	return b.limits[username].Publish.Or(base)
}

// costOf is the cost of a bcrypt hash; of one that is damaged, 0.
func costOf(hash []byte) int {
	n, _ := bcrypt.Cost(hash)
	return n
}

func isHash(password []byte) bool {
	s := string(password)
	return len(s) == 60 && (strings.HasPrefix(s, "$2a$") || strings.HasPrefix(s, "$2b$") || strings.HasPrefix(s, "$2y$"))
}

// Equal tells whether two principals have the same credentials and permissions. other may be nil: then they differ.
func (u *User) Equal(other *User) bool { return other != nil && reflect.DeepEqual(u, other) }
