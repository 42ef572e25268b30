package cmd

import (
	"context"
	"errors"
	"io"
	"io/fs"
	nethttp "net/http"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/protocol/http"
)

// How a command that follows a master goes on when that one has gone: it asks again so often, and so long.
const (
	againInterval = 100 * time.Millisecond
	againTimeout  = time.Minute
)

// stream reads lines of a route. path is asked before each connection, so that the next one goes on where the one
// before ended; each decodes one line, and knows where that is. It goes on after a stream that was read too slowly and,
// with follow, over the ends of masters; then it returns when ctx ends, which is no error. Where no master is to begin
// with, that is one.
func (e *env) stream(ctx context.Context, follow bool, path func() string, each func(*http.Lines) error) error {
	c, err := e.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	last, met := time.Now(), false // when a master was there, if one was
	for {
		err := oneStream(ctx, c, path(), func(l *http.Lines) error {
			err := each(l)
			last, met = time.Now(), true
			return err
		})
		switch {
		case ctx.Err() != nil, err == nil && !follow:
			return nil
		case isEnd(err, http.CodeUnread): // whoever reads the output was slow, as a pager
			continue
		case !follow, !isAway(err), isAbsent(err) && !met, time.Since(last) > againTimeout:
			return e.explain(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(againInterval):
		}
		met = true
	}
}

func oneStream(ctx context.Context, c *http.Client, path string, each func(*http.Lines) error) error {
	l, err := c.Stream(ctx, nethttp.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer l.Close()
	for {
		err := each(l)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// isAway tells whether err says that the master has gone, or is about to.
func isAway(err error) bool {
	return err == nil || isGone(err) || isAbsent(err) || isEnd(err, http.CodeEnding)
}

// isEnd tells whether err is the last line of a stream, with that code.
func isEnd(err error, code string) bool {
	var last *http.Error
	return errors.As(err, &last) && last.Code == code
}

// isAbsent tells whether err says that no master is there.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}
