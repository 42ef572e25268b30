package http

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	nethttp "net/http"
	"time"
)

// Lines reads a stream of JSON values. One goroutine uses it.
type Lines struct {
	body io.ReadCloser
	in   *json.Decoder
}

// Stream asks for path by method, with in as JSON unless it is nil, and returns the lines that come. It waits for the
// head of the answer as long as for other answers; the lines have no time limit, but end with ctx.
func (c *Client) Stream(ctx context.Context, method, path string, in any) (*Lines, error) {
	body, err := c.Open(ctx, method, path, in)
	if err != nil {
		return nil, err
	}
	return &Lines{body: body, in: json.NewDecoder(body)}, nil
}

// Next decodes the next line into out. At the end it is io.EOF; why the server has ended the stream is an *Error.
// io.ErrUnexpectedEOF says that the server, or the connection, is gone.
func (l *Lines) Next(out any) error {
	var line json.RawMessage
	if err := l.in.Decode(&line); err != nil {
		return err
	}
	var last streamError
	if json.Unmarshal(line, &last) == nil && last.Error.Code != "" {
		return &Error{Status: nethttp.StatusOK, Code: last.Error.Code, Message: last.Error.Message}
	}
	return json.Unmarshal(line, out)
}

// Close ends the stream.
func (l *Lines) Close() error { return l.body.Close() }

// Open is Stream for an answer of bytes, whatever they are. One that the server breaks off ends with
// io.ErrUnexpectedEOF.
func (c *Client) Open(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	header, body, err := encode(path, in)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	head := time.AfterFunc(c.cfg.Timeout, cancel)
	endless := c.http
	endless.Timeout = 0
	res, err := c.begin(ctx, &endless, method, path, header, body) //nolint:bodyclose // streamBody closes it
	if !head.Stop() && err != nil {
		err = errors.Join(context.DeadlineExceeded, err)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return streamBody{res.Body, cancel}, nil
}

type streamBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b streamBody) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}
