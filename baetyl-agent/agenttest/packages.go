// Package agenttest has what the tests of the agent share: packages and the server that they are downloaded from, with
// the faults of one; a cloud; a master; certificates; a disk without fsync.
package agenttest

import (
	"archive/zip"
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/cloud"
)

// Entry is a file of a package.
type Entry struct {
	Name string
	Mode fs.FileMode // 0: 0644
	Data string
}

// Zip returns a package, an archive with the entries.
func Zip(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, e := range entries {
		if e.Mode == 0 {
			e.Mode = 0o644
		}
		h := &zip.FileHeader{Name: e.Name, Method: zip.Store}
		h.SetMode(e.Mode)
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = f.Write([]byte(e.Data))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// Meta describes a package that lies at url.
func Meta(url string, data []byte) app.VolumeMeta {
	m, s := md5.Sum(data), sha256.Sum256(data)
	return app.VolumeMeta{URL: url, MD5: base64.StdEncoding.EncodeToString(m[:]), SHA256: hex.EncodeToString(s[:])}
}

// Server is an HTTP server for packages. Its methods may be called at any time.
type Server struct {
	*httptest.Server

	mu       sync.Mutex
	packages map[string][]byte
	ranges   []string // Range header of each request
	cut      int      // bytes after which a connection breaks; 0: never
	hang     bool     // instead of breaking, a cut connection stays open without data
	statuses []int    // of the next answers, in place of the package
}

// NewServer returns a server, with TLS if secure. It ends with the test.
func NewServer(t testing.TB, secure bool) *Server {
	s := &Server{packages: map[string][]byte{}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// Put adds a package and returns the volume that it fills.
func (s *Server) Put(name, path string, data []byte) cloud.Volume {
	s.mu.Lock()
	defer s.mu.Unlock()
	file := fmt.Sprintf("/%x.zip", sha256.Sum256(data))
	s.packages[file] = data
	return cloud.Volume{Name: name, Path: path, Meta: Meta(s.URL+file+"?sig=secret", data)}
}

// Replace puts other content at the URL of a volume.
func (s *Server) Replace(v cloud.Volume, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, _ := http.NewRequest("GET", v.Meta.URL, nil)
	s.packages[r.URL.Path] = data
}

// Cut breaks each connection after n bytes; with hang it stays open and brings nothing more. 0 ends that.
func (s *Server) Cut(n int, hang bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut, s.hang = n, hang
}

// Answer answers the next requests with these statuses, one each.
func (s *Server) Answer(statuses ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statuses = statuses
}

// Ranges returns the Range header of each request so far.
func (s *Server) Ranges() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.ranges...)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	data, ok := s.packages[r.URL.Path]
	cut, hang, status := s.cut, s.hang, 0
	if len(s.statuses) > 0 {
		status, s.statuses = s.statuses[0], s.statuses[1:]
	}
	s.mu.Unlock()
	switch {
	case status != 0:
		w.WriteHeader(status)
		return
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		return
	case cut > 0:
		w = &cutter{w, r, cut, hang}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// cutter breaks or hangs after some bytes.
type cutter struct {
	http.ResponseWriter
	r    *http.Request
	left int
	hang bool
}

func (c *cutter) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.left -= n
	if _, err := c.ResponseWriter.Write(p[:n]); err != nil || c.left > 0 {
		return n, err
	}
	if err := http.NewResponseController(c.ResponseWriter).Flush(); err != nil {
		return n, err
	}
	if c.hang {
		<-c.r.Context().Done()
	}
	panic(http.ErrAbortHandler)
}
