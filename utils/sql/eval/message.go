package eval

import (
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/baetyl/baetyl/utils/sql/parse"
)

// topic is the message's topic, or its level n from 1; null if there is none.
func topic(r *row, a []any) (any, error) {
	if len(a) == 0 {
		return r.Topic, nil
	}
	levels := strings.Split(r.Topic, "/")
	if n := a[0].(int); n >= 1 && n <= len(levels) {
		return levels[n-1], nil
	}
	return nil, nil
}

// uuid is a random one, version 4 of RFC 9562.
func uuid(*row, []any) (any, error) {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

// coalesce is the first argument that is not null.
func coalesce(_ parse.Pos, a []expr) expr {
	return func(r *row) (any, error) {
		for _, e := range a {
			if v, err := e(r); err != nil || v != nil {
				return v, err
			}
		}
		return nil, nil
	}
}

// nullif is null if both are equal, else the first.
func nullif(pos parse.Pos, a []expr) expr {
	is := comparison{pos, "nullif"}
	return func(r *row) (any, error) {
		v, err := a[0](r)
		if err != nil {
			return nil, err
		}
		o, err := a[1](r)
		if err != nil {
			return nil, err
		}
		if is.equal(r, v, o) == true {
			return nil, nil
		}
		return v, nil
	}
}

// choose is the second argument where the first is true, else the third.
func choose(pos parse.Pos, a []expr) expr {
	condition := logical(a[0], pos, "if")
	return func(r *row) (any, error) {
		v, err := condition(r)
		if err != nil {
			return nil, err
		}
		if v == true {
			return a[1](r)
		}
		return a[2](r)
	}
}
