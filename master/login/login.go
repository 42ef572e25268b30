// Package login knows who is logged in at the page: by a link that works once, or by the token of the configuration.
//
//	person at the admin socket ─► Link ─► code, once, within minutes ─┐
//	token of conf.yml ────────────────────────────────────────────────┴► Enter ─► session ─► Who, at each request
//
// A session is a signed text that names its person and its end, and nothing is kept of it. So it outlives a restart of
// the master, as the key lies in a file. Without that file all sessions end.
package login

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/file"
)

// How long things last, and how many there are.
const (
	LinkLife    = 5 * time.Minute
	SessionLife = 12 * time.Hour
	maxLinks    = 20 // that nobody has used; the oldest ends for another one
	maxFailures = 10 // of Enter, in a minute: then nobody enters until it is over
	keySize     = 32
)

// Errors of Enter and Who.
var (
	ErrWrong   = errors.New("the link was used before, is too old, or the token is wrong; `baetyl ui` makes a new link")
	ErrTooMany = errors.New("too many wrong logins in this minute; try again in the next one")
)

// Logins is safe for concurrent use. It reads and writes nothing before it is asked.
type Logins struct {
	path  string // of the key
	token conf.Secret
	now   func() time.Time

	mu       sync.Mutex // guards what follows
	key      []byte
	links    []link // the oldest first
	failures []time.Time
}

// link is a code that nobody has used.
type link struct {
	digest [sha256.Size]byte
	by     masterapi.By
	ends   time.Time
}

// session is what is signed.
type session struct {
	By   masterapi.By `json:"by"`
	Ends int64        `json:"ends"` // Unix seconds
	Salt []byte       `json:"salt"`
}

// New returns logins whose key lies in the file at path. token enters besides links; empty: none does.
func New(path string, token conf.Secret) *Logins {
	return &Logins{path: path, token: token, now: time.Now}
}

// Link returns a code for a person, which Enter takes once, within LinkLife.
func (l *Logins) Link(by masterapi.By) string {
	code := random(16)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget()
	if len(l.links) == maxLinks {
		l.links = l.links[1:]
	}
	l.links = append(l.links, link{sha256.Sum256([]byte(code)), by, l.now().Add(LinkLife)})
	return code
}

// Enter takes a code or the token, and returns a session and its end: ErrWrong, ErrTooMany, or why the key can't be
// read or written.
func (l *Logins) Enter(secret string) (text string, ends time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget()
	if len(l.failures) >= maxFailures {
		return "", ends, ErrTooMany
	}
	by, ok := l.take(secret)
	if !ok {
		l.failures = append(l.failures, l.now())
		return "", ends, ErrWrong
	}
	if err := l.load(); err != nil {
		return "", ends, err
	}
	ends = l.now().Add(SessionLife)
	body, err := json.Marshal(session{By: by, Ends: ends.Unix(), Salt: []byte(random(16))})
	if err != nil {
		return "", ends, err
	}
	return encode(body) + "." + encode(l.sign(body)), ends, nil
}

// take is who enters with a secret.
func (l *Logins) take(secret string) (masterapi.By, bool) {
	digest := sha256.Sum256([]byte(secret))
	for n, one := range l.links {
		if subtle.ConstantTimeCompare(one.digest[:], digest[:]) == 1 {
			l.links = append(l.links[:n:n], l.links[n+1:]...)
			return one.by, true
		}
	}
	token := sha256.Sum256([]byte(l.token))
	if l.token == "" || subtle.ConstantTimeCompare(token[:], digest[:]) != 1 {
		return masterapi.By{}, false
	}
	uid := os.Geteuid()
	return masterapi.By{UID: &uid, User: "ui.token"}, true
}

// Who is logged in with a session; ok is false when nobody is.
func (l *Logins) Who(text string) (by masterapi.By, ok bool) {
	first, second, _ := strings.Cut(text, ".")
	body, err := encoding.DecodeString(first)
	signature, wrong := encoding.DecodeString(second)
	if err != nil || wrong != nil {
		return by, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.load() != nil || !hmac.Equal(signature, l.sign(body)) {
		return by, false
	}
	var s session
	if json.Unmarshal(body, &s) != nil || l.now().Unix() >= s.Ends {
		return by, false
	}
	return s.By, true
}

// forget drops what is too old.
func (l *Logins) forget() {
	now := l.now()
	for len(l.links) > 0 && !now.Before(l.links[0].ends) {
		l.links = l.links[1:]
	}
	for len(l.failures) > 0 && now.Sub(l.failures[0]) >= time.Minute {
		l.failures = l.failures[1:]
	}
}

// load reads the key, or makes one.
func (l *Logins) load() error {
	if l.key != nil {
		return nil
	}
	key, err := os.ReadFile(l.path)
	if err == nil && len(key) == keySize {
		l.key = key
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the key of the page's sessions: %w", err)
	}
	key = make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	if err := file.WriteAtomic(l.path, key, 0o600); err != nil {
		return fmt.Errorf("write the key of the page's sessions: %w", err)
	}
	l.key = key
	return nil
}

func (l *Logins) sign(body []byte) []byte {
	h := hmac.New(sha256.New, l.key)
	h.Write(body)
	return h.Sum(nil)
}

func random(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return encode(b)
}

// encoding is strict, so that a session has one form.
var encoding = base64.RawURLEncoding.Strict()

func encode(b []byte) string { return encoding.EncodeToString(b) }
