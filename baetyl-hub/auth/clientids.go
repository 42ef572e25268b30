package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// idPattern is an entry of `clientids`, cut at its stars, each of which stands for any characters.
type idPattern []string

// parsePattern reads an entry of `clientids`: %u is the user name, whatever characters that has, %% and %* are % and *.
func parsePattern(text, user string) (idPattern, error) {
	p, literal := idPattern{}, []byte{}
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == 0:
			return nil, errors.New("contains U+0000, which no client id has; leave it out")
		case text[i] == '*':
			p, literal = append(p, string(literal)), literal[:0]
		case text[i] != '%':
			literal = append(literal, text[i])
		default:
			if i++; i == len(text) || !strings.Contains("u%*", text[i:i+1]) {
				return nil, errors.New("after % only u (the user name), % and * are allowed; write %% for a %")
			}
			if text[i] == 'u' {
				literal = append(literal, user...)
			} else {
				literal = append(literal, text[i])
			}
		}
	}
	if p = append(p, string(literal)); strings.Join(p, "") == "" {
		return nil, errors.New("would reserve all client ids, or none; write a pattern with other characters than *, " +
			"or leave out clientids: then the user may use all ids that nobody reserves")
	}
	return p, nil
}

// match compares byte by byte: upper and lower case differ, and so do characters that only look alike.
func (p idPattern) match(id string) bool {
	rest, ok := strings.CutPrefix(id, p[0])
	if !ok || len(p) == 1 {
		return ok && rest == ""
	}
	last := len(p) - 1
	for _, part := range p[1:last] {
		if _, rest, ok = strings.Cut(rest, part); !ok {
			return false
		}
	}
	return strings.HasSuffix(rest, p[last])
}

// reserved are the patterns of all principals, by what they begin with.
type reserved struct {
	by      map[string][]idPattern
	lengths []int // of the keys of by
}

func (r *reserved) add(p idPattern) {
	if r.by == nil {
		r.by = map[string][]idPattern{}
	}
	r.by[p[0]] = append(r.by[p[0]], p)
	if n := len(p[0]); !slices.Contains(r.lengths, n) {
		r.lengths = append(r.lengths, n)
	}
}

func (r *reserved) has(id string) bool {
	for _, n := range r.lengths {
		if n <= len(id) && slices.ContainsFunc(r.by[id[:n]], func(p idPattern) bool { return p.match(id) }) {
			return true
		}
	}
	return false
}

// setClientIDs reads `clientids` of a principal.
func (b *Book) setClientIDs(u *User, list []string) error {
	for i, text := range list {
		p, err := parsePattern(text, u.Name)
		if err != nil {
			return fmt.Errorf("clientids[%d]: %q: %w", i, text, err)
		}
		u.ids = append(u.ids, p)
		b.reserved.add(p)
	}
	return nil
}

var (
	errNotOwnID   = errors.New("the client id matches none of the user's principals[].clientids")
	errReservedID = errors.New("the client id is reserved for others by their principals[].clientids")
)

// Reserves tells whether `clientids` of the user has the client id.
func (u *User) Reserves(id string) bool {
	return slices.ContainsFunc(u.ids, func(p idPattern) bool { return p.match(id) })
}

// CheckClientID returns why a user may not use a client id. Everybody may leave it to the hub (id is empty).
func (b *Book) CheckClientID(u *User, id string) error {
	switch {
	case id == "" || u.Reserves(id):
		return nil
	case len(u.ids) > 0:
		return errNotOwnID
	case b.reserved.has(id):
		return errReservedID
	}
	return nil
}
