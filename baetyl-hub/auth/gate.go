package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const (
	// rememberFor is how long a verified password needs no second bcrypt.
	rememberFor = 5 * time.Minute
	// mostWaiting is how many logins may wait for bcrypt.
	mostWaiting = 1000
)

// Gate checks logins for a Book that may be replaced. Its methods may be called from any goroutine. It promises:
//   - bcrypt uses half of the processors, one at least. Who waits for it does so in a queue that is fair to addresses.
//   - A refusal takes the same work, whatever is wrong, if any principal has a bcrypt hash: the time tells no names.
//   - A password that was right is right for rememberFor without bcrypt, until a reload changes its principal. What is
//     remembered is a MAC whose key nobody has but this process.
type Gate struct {
	book  atomic.Pointer[Book]
	queue *queue
	key   [sha256.Size]byte
	check func(hash, password []byte) error // bcrypt
	now   func() time.Time

	mu    sync.Mutex
	known map[string]proof // by user name: only of principals, so they bound it
}

// proof is a verified password.
type proof struct {
	user  *User
	mac   []byte
	until time.Time
}

// Attempt is one login.
type Attempt struct {
	Username, Password string
	Cert               *x509.Certificate // verified; nil: none
	From               netip.Addr        // of the client
	Failures           int               // earlier ones, of its address and user
	Gone               func() bool       // tells whether the client has left; nil: it has not
	Timeout            time.Duration     // of the wait for bcrypt; 0: none
}

// NewGate returns a Gate for the principals.
func NewGate(b *Book) *Gate {
	g := &Gate{queue: newQueue(max(1, runtime.GOMAXPROCS(0)/2), mostWaiting), check: bcrypt.CompareHashAndPassword,
		now: time.Now, known: map[string]proof{}}
	_, _ = rand.Read(g.key[:]) // it never fails
	g.book.Store(b)
	return g
}

// SetBook replaces the principals. Passwords of those that are removed or changed are forgotten.
func (g *Gate) SetBook(b *Book) {
	g.book.Store(b)
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, p := range g.known {
		if u := b.users[name]; p.user.Equal(u) {
			p.user = u
			g.known[name] = p
		} else {
			delete(g.known, name)
		}
	}
}

// Login returns the user; or an error that is ErrRefused and says for the log what is wrong; or ErrBusy or ErrGone. It
// waits for bcrypt until ctx ends, or for Attempt.Timeout.
func (g *Gate) Login(ctx context.Context, a Attempt) (*User, error) {
	b := g.book.Load()
	u, err := b.quick(a.Username, a.Password, a.Cert)
	hashed := err == nil && isHash(u.password)
	switch {
	case err == nil && (!hashed || g.remembers(u, a.Password)):
		return u, nil
	case err != nil && (b.cost == 0 || a.Username == ""): // no name, nothing to hide: as a probe asks
		return nil, err
	}
	if a.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.Timeout)
		defer cancel()
	}
	if err := g.queue.enter(ctx, a.From, a.Failures); err != nil {
		return nil, err
	}
	defer g.queue.leave()
	if a.Gone != nil && a.Gone() {
		return nil, ErrGone
	}
	done := 0
	if hashed {
		if g.remembers(u, a.Password) { // another connection was faster
			return u, nil
		}
		if g.check(u.password, []byte(a.Password)) == nil {
			g.remember(u, a.Password)
			return u, nil
		}
		done, err = costOf(u.password), errPassword
	}
	g.spend(done, b.cost, a.Password)
	return nil, err
}

// spend does the work that a refusal still needs so that all take as much: a hash of cost n takes 2^n.
func (g *Gate) spend(done, cost int, password string) {
	if done == 0 {
		_ = g.check(dummy(cost), []byte(password))
		return
	}
	for ; done < cost; done++ { // 2^n + 2^n + 2^(n+1) + … = 2^cost
		_ = g.check(dummy(done), []byte(password))
	}
}

// dummy is a hash of no password.
func dummy(cost int) []byte {
	return fmt.Appendf(nil, "$2a$%02d$7EqJtq98hPqEX7fNZaFWoOhi5hWvvfe0TM/bQ9fKjRTPJAoQGz7bG", cost)
}

func (g *Gate) mac(password string) []byte {
	h := hmac.New(sha256.New, g.key[:])
	_, _ = h.Write([]byte(password))
	return h.Sum(nil)
}

func (g *Gate) remembers(u *User, password string) bool {
	g.mu.Lock()
	p, ok := g.known[u.Name]
	g.mu.Unlock()
	return ok && p.user == u && g.now().Before(p.until) && hmac.Equal(p.mac, g.mac(password))
}

func (g *Gate) remember(u *User, password string) {
	p := proof{u, g.mac(password), g.now().Add(rememberFor)}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.book.Load().users[u.Name] == u { // not replaced meanwhile
		g.known[u.Name] = p
	}
}
