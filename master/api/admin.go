package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Limits of what a module answers at its admin socket, in bytes: of an answer, or of a line of a stream.
const maxModuleAnswer = 16 << 20

// moduleTimeout is how long a module may take until its answer begins: longer than it may work on a request
// (admin.Timeout).
const moduleTimeout = 70 * time.Second

// serviceAdmin passes a request of a person on to the admin socket of a service, and its answer back. Who asks is in a
// header, for the module's log. What a module answers is data: of its head, only status and type count.
//
//	person ─► master: may it? what it changes is in the log ─► socket in the run folder of the instance ─► module
func (h *handler) serviceAdmin(r *nethttp.Request, by caller) (any, error) {
	name := r.PathValue("service")
	var body []byte
	if r.Method == nethttp.MethodPost {
		var in json.RawMessage
		if err := http.ReadJSON(r, &in); err != nil {
			return nil, err
		}
		body = in
	}
	// A stream may last longer than a request, so this is not its context: close ends it.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	stop := context.AfterFunc(r.Context(), cancel)
	late := time.AfterFunc(moduleTimeout, cancel)
	at := url.URL{Path: "/" + r.PathValue("path"), RawQuery: r.URL.RawQuery}
	answer, err := h.askModule(ctx, name, by.name, r.Method, at, body) //nolint:bodyclose // see close
	if !late.Stop() && err != nil {
		err = fmt.Errorf("it has not answered within %s", moduleTimeout)
	}
	if err != nil {
		cancel()
		if e := (*http.Error)(nil); errors.As(err, &e) {
			return nil, e
		}
		for _, m := range meanings {
			if errors.Is(err, m.Err) {
				return nil, err
			}
		}
		return nil, http.Errorf(nethttp.StatusBadGateway, "unavailable", "service (%s) has not answered: %s", name,
			quotable(err.Error(), maxQuoted))
	}
	if answer.Header.Get("Content-Type") == http.ContentLines && answer.StatusCode == nethttp.StatusOK {
		stop()
		return stream{
			content: http.ContentLines, close: func() { cancel(); _ = answer.Body.Close() },
			run: func(ctx context.Context, s *http.Stream) error {
				defer context.AfterFunc(ctx, cancel)()
				s.Open()
				return copyLines(s, answer.Body, name)
			},
		}, nil
	}
	defer cancel()
	defer answer.Body.Close()
	return moduleAnswer(answer, name)
}

// askModule sends a request to the admin socket of a service, and returns the answer when it begins.
func (h *handler) askModule(ctx context.Context, name, who, method string, at url.URL, body []byte,
) (*nethttp.Response, error) {
	at.Scheme, at.Host = "http", "module"
	q, err := nethttp.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	q.Header.Set(masterapi.HeaderCaller, who)
	transport := nethttp.Transport{
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return h.services.DialAdmin(ctx, name) },
	}
	return transport.RoundTrip(q)
}

// moduleAnswer is the answer of a module as one of ours.
func moduleAnswer(a *nethttp.Response, name string) (any, error) {
	data, err := io.ReadAll(io.LimitReader(a.Body, maxModuleAnswer+1))
	bad := func(why string) error {
		return http.Errorf(nethttp.StatusBadGateway, "unavailable", "service (%s) has answered with %s", name, why)
	}
	switch {
	case err != nil:
		return nil, bad("half of an answer: its module, or that connection, has ended")
	case len(data) > maxModuleAnswer:
		return nil, bad(fmt.Sprintf("more than %d bytes", maxModuleAnswer))
	case a.StatusCode >= nethttp.StatusBadRequest && a.StatusCode < 600:
		var e masterapi.Error
		if json.Unmarshal(data, &e) != nil || e.Message == "" {
			return nil, bad(fmt.Sprintf("status %d and no reason", a.StatusCode))
		}
		return nil, http.Errorf(a.StatusCode, quotable(e.Code, maxQuoted), "%s", quotable(e.Message, 2*maxMessage))
	case a.StatusCode != nethttp.StatusOK:
		return nil, bad(fmt.Sprintf("status %d", a.StatusCode))
	case len(bytes.TrimSpace(data)) == 0:
		return struct{}{}, nil
	case !json.Valid(data):
		return nil, bad("something else than JSON")
	}
	return json.RawMessage(data), nil
}

// copyLines sends what a module streams on, whole lines alone, so that a line about its end is one too.
func copyLines(to *http.Stream, from io.Reader, name string) error {
	in := bufio.NewReaderSize(from, 64<<10)
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxModuleAnswer {
			return http.Errorf(nethttp.StatusBadGateway, "unavailable", "service (%s) has sent a line of more than %d bytes",
				name, maxModuleAnswer)
		}
		if line = append(line, part...); errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil {
			return http.Errorf(nethttp.StatusBadGateway, "unavailable", "service (%s) has ended the stream: its module has "+
				"stopped, or was killed", name)
		}
		if _, err := to.Write(line); err != nil {
			return err
		}
		if line = line[:0]; cap(line) > 1<<20 {
			line = nil
		}
	}
}

// kindTimeout is how long a module may take to say what it is.
const kindTimeout = 3 * time.Second

// modules lists the services that have an admin interface now. They are asked side by side what they are.
func (h *handler) modules(r *nethttp.Request, by caller) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), kindTimeout)
	defer cancel()
	names := h.services.Names()
	found := make([]*masterapi.Module, len(names))
	var asked sync.WaitGroup
	for n, name := range names {
		asked.Go(func() { found[n] = h.module(ctx, name, by) })
	}
	asked.Wait()
	all := masterapi.Modules{Items: []masterapi.Module{}}
	for _, m := range slices.DeleteFunc(found, func(m *masterapi.Module) bool { return m == nil }) {
		all.Items = append(all.Items, *m)
	}
	return all, nil
}

// module asks a service what it is; nil: it has no admin interface.
func (h *handler) module(ctx context.Context, name string, by caller) *masterapi.Module {
	m := &masterapi.Module{Service: name}
	answer, err := h.askModule(ctx, name, by.name, nethttp.MethodGet, url.URL{Path: masterapi.PathModule}, nil)
	switch {
	case errors.Is(err, service.ErrNoAdmin), errors.Is(err, service.ErrNotFound):
		return nil
	case ctx.Err() != nil:
		m.Error = fmt.Sprintf("it has not answered within %s", kindTimeout)
		return m
	case err != nil:
		m.Error = quotable(err.Error(), maxQuoted)
		return m
	}
	defer answer.Body.Close()
	var kind masterapi.ModuleKind
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxKind))
	if err == nil && answer.StatusCode == nethttp.StatusOK {
		err = json.Unmarshal(data, &kind)
	}
	if m.Module = quotable(kind.Module, maxQuoted); err != nil {
		m.Error = quotable(err.Error(), maxQuoted)
	}
	return m
}

// maxKind is how many bytes of what a module says that it is are read.
const maxKind = 1 << 10
