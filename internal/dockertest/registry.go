//go:build linux

package dockertest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// RegistryOptions of a registry. The zero value is good.
type RegistryOptions struct {
	User, Password string // asked of clients if User is set
	Near           *D     // it listens in the network of this daemon; default that of the daemon of the package (Main)
}

// R is a registry: the part of the OCI distribution API that docker needs to push and to pull. Its contents are in
// memory. It is safe for concurrent use.
type R struct {
	server *httptest.Server
	o      RegistryOptions

	mu    sync.Mutex
	blobs map[string][]byte   // by digest, and uploads by id
	tags  map[string]manifest // by name:tag and name@digest
	fail  func(*http.Request) int
}

type manifest struct {
	kind, digest string
	data         []byte
}

// Registry starts a registry. It goes with the test.
func Registry(t testing.TB, o RegistryOptions) *R {
	t.Helper()
	r := &R{o: o, blobs: map[string][]byte{}, tags: map[string]manifest{}}
	r.server = &httptest.Server{Config: &http.Server{Handler: http.HandlerFunc(r.serve)}}
	listen := func() (err error) {
		r.server.Listener, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	}
	near, err := o.Near, error(nil)
	if near == nil {
		near = shared
	}
	if near == nil {
		err = listen()
	} else {
		err = near.Within(listen)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.server.Start()
	t.Cleanup(r.server.Close)
	return r
}

// Host returns host:port, which names of its images begin with. Docker needs no TLS there, since it is of loopback.
func (r *R) Host() string { return r.server.Listener.Addr().String() }

// Fail lets requests be answered with the status that f returns, if that is not 0. nil ends it.
func (r *R) Fail(f func(*http.Request) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = f
}

// Add adds an image with one layer of random bytes, which do not compress. ref is name:tag. It returns the digest of
// its manifest.
func (r *R) Add(ref string, size int) string {
	content := make([]byte, size)
	_, _ = rand.Read(content) // never fails (crypto/rand)
	return r.AddLayer(ref, archive("content", 0o644, content), "{}")
}

// AddProgram adds an image that runs a program (see Image). config holds further fields of the configuration, for
// example `"Env":["V=2"]`, or is empty.
func (r *R) AddProgram(t testing.TB, ref, program, config string) string {
	t.Helper()
	layer, entry, err := Layer(program)
	if err != nil {
		t.Fatal(err)
	}
	if config != "" {
		config = "," + config
	}
	return r.AddLayer(ref, layer, fmt.Sprintf(`{"Entrypoint":[%q]%s}`, entry, config))
}

// AddLayer adds an image with one layer, a tar. config is the "config" of its configuration.
func (r *R) AddLayer(ref string, layer []byte, config string) string {
	about := fmt.Appendf(nil, `{"architecture":%q,"os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":[%q]}}`,
		runtime.GOARCH, config, digest(layer))
	const kind = "application/vnd.docker.distribution.manifest.v2+json"
	data := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,
		"config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":%d,"digest":%q},
		"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar","size":%d,"digest":%q}]}`,
		kind, len(about), digest(about), len(layer), digest(layer))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blobs[digest(layer)], r.blobs[digest(about)] = layer, about
	name, tag, _ := strings.Cut(ref, ":")
	return r.put(name, tag, kind, data)
}

// put adds a manifest. The caller holds mu.
func (r *R) put(name, tag, kind string, data []byte) string {
	m := manifest{kind, digest(data), data}
	r.tags[name+":"+tag], r.tags[name+":"+m.digest] = m, m
	return m.digest
}

// Digest returns that of the manifest of name:tag, or "".
func (r *R) Digest(ref string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tags[ref].digest
}

// ID returns the digest of the configuration of name:tag, or "". It is the id of the image on a daemon, but on one that
// stores images in containerd: there that is Digest.
func (r *R) ID(ref string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var m struct{ Config struct{ Digest string } }
	_ = json.Unmarshal(r.tags[ref].data, &m) // empty: there is none
	return m.Config.Digest
}

func digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

var (
	manifests = regexp.MustCompile(`^/v2/(.+)/manifests/([^/]+)$`)
	blobs     = regexp.MustCompile(`^/v2/.+/blobs/([^/]+)$`)
	uploads   = regexp.MustCompile(`^/v2/.+/blobs/uploads/([^/]*)$`)
)

func (r *R) serve(w http.ResponseWriter, q *http.Request) {
	if user, password, _ := q.BasicAuth(); r.o.User != "" && (user != r.o.User || password != r.o.Password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // the client has gone
	}
	r.mu.Lock()
	fail := r.fail
	r.mu.Unlock()
	if fail != nil {
		if status := fail(q); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if m := uploads.FindStringSubmatch(q.URL.Path); m != nil {
		r.upload(w, q, m[1], body)
	} else if m := manifests.FindStringSubmatch(q.URL.Path); m != nil {
		r.manifest(w, q, m[1], m[2], body)
	} else if m := blobs.FindStringSubmatch(q.URL.Path); m != nil {
		r.mu.Lock()
		data, ok := r.blobs[m[1]]
		r.mu.Unlock()
		answerWith(w, q, ok, "BLOB_UNKNOWN", "application/octet-stream", m[1], data)
	} else {
		_, _ = io.WriteString(w, "{}") // /v2/
	}
}

func (r *R) manifest(w http.ResponseWriter, q *http.Request, name, ref string, body []byte) {
	r.mu.Lock()
	if q.Method == http.MethodPut {
		w.Header().Set("Docker-Content-Digest", r.put(name, ref, q.Header.Get("Content-Type"), body))
		w.WriteHeader(http.StatusCreated)
		r.mu.Unlock()
		return
	}
	m, ok := r.tags[name+":"+ref]
	r.mu.Unlock()
	answerWith(w, q, ok, "MANIFEST_UNKNOWN", m.kind, m.digest, m.data)
}

// upload takes a blob: POST begins, PATCH adds, PUT adds and ends.
func (r *R) upload(w http.ResponseWriter, q *http.Request, id string, body []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.Method == http.MethodPost {
		id = rand.Text()
		q.URL.Path += id
	}
	data := append(bytes.Clone(r.blobs[id]), body...)
	r.blobs[id] = data
	w.Header().Set("Location", q.URL.Path)
	w.Header().Set("Docker-Upload-UUID", id)
	if len(data) > 0 {
		w.Header().Set("Range", "0-"+strconv.Itoa(len(data)-1))
	}
	if q.Method != http.MethodPut {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	delete(r.blobs, id)
	r.blobs[digest(data)] = data
	w.Header().Set("Docker-Content-Digest", digest(data))
	w.WriteHeader(http.StatusCreated)
}

func answerWith(w http.ResponseWriter, q *http.Request, ok bool, code, kind, digest string, data []byte) {
	if !ok {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": code, "message": "unknown"}}})
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Docker-Content-Digest", digest)
	http.ServeContent(w, q, "", time.Time{}, bytes.NewReader(data))
}
