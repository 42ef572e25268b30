// Package apitest holds what a handler serves to docs/api/master.yaml, the description of the master's API.
//
//	test ──request──► Spec.Handler ──► handler
//	                    └ path, method, status, headers and bodies are those of the document, or else the test fails
//
// It is for tests alone: no program links it (test/arch).
package apitest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// Document is the description of the API, relative to the repository.
const Document = "docs/api/master.yaml"

// Spec is the document, ready to check exchanges against. Its methods may be called from any goroutine.
type Spec struct {
	Doc    *openapi3.T
	router routers.Router

	mu   sync.Mutex      // guards seen
	seen map[string]bool // answers, as Unseen names them
}

// Load reads and validates the document, its examples included.
func Load(t testing.TB) *Spec {
	t.Helper()
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(root, Document))
	if err != nil {
		t.Fatalf("load %s: %v", Document, err)
	}
	if !doc.IsOpenAPI31OrLater() {
		t.Fatalf("%s: openapi: %q is older than 3.1", Document, doc.OpenAPI)
	}
	if err := doc.Validate(context.Background(), openapi3.EnableExamplesValidation()); err != nil {
		t.Fatalf("validate %s: %v", Document, err)
	}
	router, err := gorillamux.NewRouter(withTails(doc))
	if err != nil {
		t.Fatalf("routes of %s: %v", Document, err)
	}
	return &Spec{Doc: doc, router: router, seen: map[string]bool{}}
}

// withTails is doc with paths that end with {path} matching a path of several segments, as OpenAPI cannot say.
func withTails(doc *openapi3.T) *openapi3.T {
	out := *doc
	out.Paths = openapi3.NewPaths()
	for path, item := range doc.Paths.Map() {
		if head, ok := strings.CutSuffix(path, "{path}"); ok {
			path = head + "{path:.+}"
		}
		out.Paths.Set(path, item)
	}
	return &out
}

// repository is the folder of go.mod, above the working directory of the test.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			return "", errors.New("find the repository: no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}

// Handler passes everything on to h, and fails t when a request that h accepts, or an answer of h, is not as
// documented.
func (s *Spec) Handler(t testing.TB, h nethttp.Handler) nethttp.Handler {
	return s.handler(t, h, false)
}

// Admin is Handler at the socket for persons, who send no headers.
func (s *Spec) Admin(t testing.TB, h nethttp.Handler) nethttp.Handler { return s.handler(t, h, true) }

func (s *Spec) handler(t testing.TB, h nethttp.Handler, person bool) nethttp.Handler {
	return nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		body, readErr := io.ReadAll(r.Body)
		passed := r.Clone(r.Context())
		passed.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{readErr}))
		answer := httptest.NewRecorder()
		to := &hijackable{ResponseRecorder: answer, from: w}
		h.ServeHTTP(to, passed)
		if to.hijacked { // and over by now
			s.sawUpgrade(t, r)
			return
		}
		if err := s.check(r, body, answer, person); err != nil {
			t.Errorf("%s %s: answer %d is not as in %s: %v", r.Method, r.URL.EscapedPath(), answer.Code, Document, err)
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // fails only when the client has gone
	})
}

// hijackable is a recorder whose handler may take the connection.
type hijackable struct {
	*httptest.ResponseRecorder
	from     nethttp.ResponseWriter
	hijacked bool
}

// Hijack implements http.Hijacker.
func (h *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buf, err := nethttp.NewResponseController(h.from).Hijack()
	h.hijacked = err == nil
	return conn, buf, err
}

// sawUpgrade notes that the answer 101 was given, which has to be documented.
func (s *Spec) sawUpgrade(t testing.TB, r *nethttp.Request) {
	route, _, err := s.router.FindRoute(r)
	if err != nil || route.Operation.Responses.Status(nethttp.StatusSwitchingProtocols) == nil {
		t.Errorf("%s %s: answer 101 is not in %s", r.Method, r.URL.EscapedPath(), Document)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[name(route.Operation, strconv.Itoa(nethttp.StatusSwitchingProtocols))] = true
}

// failing ends a body as the original has ended: nil is its end.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

func (s *Spec) check(r *nethttp.Request, body []byte, answer *httptest.ResponseRecorder, person bool) error {
	asked := r.Clone(r.Context())
	asked.Body = io.NopCloser(bytes.NewReader(body))
	asked.Header.Set("Content-Type", "application/json") // the server does not look at it
	route, params, err := s.router.FindRoute(asked)
	switch {
	case errors.Is(err, routers.ErrMethodNotAllowed):
		return s.checkNoOperation(answer, nethttp.StatusMethodNotAllowed)
	case err != nil:
		return s.checkNoOperation(answer, nethttp.StatusNotFound)
	}
	options := &openapi3filter.Options{
		IncludeResponseStatus: true, MultiError: true, SkipSettingDefaults: true,
		AuthenticationFunc: func(_ context.Context, in *openapi3filter.AuthenticationInput) error {
			if !person && r.Header.Get(in.SecurityScheme.Name) == "" {
				return fmt.Errorf("header %s is missing", in.SecurityScheme.Name)
			}
			return nil
		},
	}
	request := &openapi3filter.RequestValidationInput{
		Request: asked, PathParams: params, Route: route, Options: options,
	}
	if admin, _ := route.Operation.Extensions["x-admin"].(bool); admin && !person && answer.Code < 300 {
		return errors.New("a service got what is for persons")
	}
	if answer.Code < 300 {
		if err := openapi3filter.ValidateRequest(r.Context(), request); err != nil {
			return fmt.Errorf("the request should have been refused: %w", err)
		}
	}
	response := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: request, Status: answer.Code, Header: answer.Header(), Options: options,
	}
	response.SetBodyBytes(answer.Body.Bytes())
	if err := openapi3filter.ValidateResponse(r.Context(), response); err != nil {
		return err
	}
	status, ref := strconv.Itoa(answer.Code), route.Operation.Responses.Status(answer.Code)
	if ref == nil { // ValidateResponse has found it
		status, ref = "default", route.Operation.Responses.Default()
	}
	if documented := ref.Value; len(documented.Content) == 0 && answer.Body.Len() > 0 {
		return fmt.Errorf("has a body, which is documented as empty: %q", answer.Body.Bytes())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[name(route.Operation, status)] = true
	return nil
}

// checkNoOperation checks the answer to a request that no operation documents: it has this status and the one shape
// of errors.
func (s *Spec) checkNoOperation(answer *httptest.ResponseRecorder, status int) error {
	if answer.Code != status {
		return fmt.Errorf("no operation is documented for this request, so that its status should be %d", status)
	}
	documented := s.Doc.Components.Responses["NotFound"]
	if status == nethttp.StatusMethodNotAllowed {
		documented = s.Doc.Components.Responses["MethodNotAllowed"]
	}
	shape := openapi3.NewResponses(openapi3.WithStatus(status, documented))
	response := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: httptest.NewRequest(nethttp.MethodGet, "/", nil),
			Route:   &routers.Route{Spec: s.Doc, Operation: &openapi3.Operation{Responses: shape}},
		},
		Status: answer.Code, Header: answer.Header(),
	}
	response.SetBodyBytes(answer.Body.Bytes())
	return openapi3filter.ValidateResponse(context.Background(), response)
}

// Operations returns the documented operations by operationId, with their paths as clients of today call them.
func (s *Spec) Operations() map[string]Operation {
	out := map[string]Operation{}
	for path, item := range s.Doc.Paths.Map() {
		for method, o := range item.Operations() {
			right, _ := o.Extensions["x-right"].(string)
			admin, _ := o.Extensions["x-admin"].(bool)
			out[o.OperationID] = Operation{Method: method, Path: s.Doc.Servers[0].URL + path, Right: right, Admin: admin}
		}
	}
	return out
}

// Operation is one documented call.
type Operation struct {
	Method string
	Path   string // with {service} and {instance}
	Right  string // that the caller needs
	Admin  bool   // for persons alone
}

// Unseen returns the documented answers that no exchange has shown so far, as "operationId status", sorted.
func (s *Spec) Unseen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, item := range s.Doc.Paths.Map() {
		for _, o := range item.Operations() {
			for status := range o.Responses.Map() {
				// Another method has no operation: every 405 is checked, but belongs to none.
				if n := name(o, status); !s.seen[n] && status != strconv.Itoa(nethttp.StatusMethodNotAllowed) {
					out = append(out, n)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

func name(o *openapi3.Operation, status string) string { return o.OperationID + " " + status }
