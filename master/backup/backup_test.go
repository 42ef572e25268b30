package backup_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/baetyl/baetyl/master/backup"
	"github.com/baetyl/baetyl/protocol/app"
)

// device makes a working directory with an application, a volume of every kind of file, and one outside of
// var/db/baetyl.
func device(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for path, text := range map[string]string{
		"etc/baetyl/conf.yml":                "mode: native\n",
		"var/db/baetyl/application.yml":      "version: v1\n",
		"var/db/baetyl/images.json":          "{}",
		"var/db/baetyl/users.json":           "this host's",
		"var/db/baetyl/master.id":            "this host's",
		"var/db/baetyl/data/a/deep/file":     "content",
		"var/db/baetyl/data/empty":           "",
		"var/db/baetyl/data/new\nline \"q\"": "odd name",
		"var/db/baetyl/hublog/service.log":   "a line",
		"var/run/baetyl/instances.json":      "of this boot",
		"var/log/baetyl/master.log":          "a line",
		"srv/outside/file":                   "a volume elsewhere",
		"srv/other":                          "not a volume",
	} {
		write(t, dir, path, text)
	}
	for link, target := range map[string]string{
		"var/db/baetyl/data/link": "a/deep/file", "var/db/baetyl/data/dangling": "nowhere", "var/db/baetyl/data/python": "/usr/bin/python3",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	sparse, err := os.Create(filepath.Join(dir, "var/db/baetyl/data/sparse"))
	if err == nil {
		_, err = sparse.WriteAt([]byte("end"), 8<<20)
	}
	if err = errors.Join(err, sparse.Close(), os.Chmod(filepath.Join(dir, "var/db/baetyl/data/a"), 0o2750),
		syscall.Mkfifo(filepath.Join(dir, "var/db/baetyl/data/pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, dir, path, text string) {
	t.Helper()
	path = filepath.Join(dir, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o640)); err != nil {
		t.Fatal(err)
	}
}

func application() *app.Config {
	return &app.Config{
		Services: []app.Service{{Name: "hub", Mounts: []app.Mount{{Name: "log", Path: "var/log/baetyl"}}}},
		Volumes: []app.Volume{
			{Name: "data", Path: "var/db/baetyl/data"}, {Name: "outside", Path: "srv/outside"},
			{Name: "log", Path: "var/db/baetyl/hublog"}, {Name: "managed"},
		},
	}
}

func options(dir string) backup.Options {
	return backup.Options{Workdir: dir, Mode: "native", Version: "1.0", Application: application}
}

func made(t *testing.T, o backup.Options) ([]byte, backup.Manifest) {
	t.Helper()
	var out bytes.Buffer
	m, err := backup.Write(context.Background(), &out, o)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), m
}

// tree lists what is below dir: kind, mode, content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		text := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(data)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " " + target
		}
		out[name] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What a backup has comes back on another device as it was, and what belongs to the host does not.
func TestRoundTrip(t *testing.T) {
	from := device(t)
	data, m := made(t, options(from))
	to := t.TempDir()
	write(t, to, "var/db/baetyl/users.json", "the new host's")
	r, err := backup.Restore(bytes.NewReader(data), backup.RestoreOptions{Workdir: to})
	if err != nil {
		t.Fatal(err)
	}
	want, got := tree(t, from), tree(t, to)
	for _, gone := range []string{
		"var/db/baetyl/master.id", "var/db/baetyl/hublog/service.log", "var/db/baetyl/data/pipe", "srv/other",
	} {
		delete(want, gone)
	}
	want["var/db/baetyl/users.json"] = got["var/db/baetyl/users.json"]
	if !strings.HasSuffix(want["var/db/baetyl/users.json"], "the new host's") {
		t.Error("users.json of the new host is lost")
	}
	for path, text := range want {
		if within(path, "var/run") || within(path, "var/log") || path == "." {
			continue
		}
		if got[path] != text {
			t.Errorf("%s is %.80q, expected %.80q", path, got[path], text)
		}
		delete(got, path)
	}
	delete(got, ".")
	if len(got) > 0 {
		t.Errorf("the new device has more: %v", got)
	}
	if r.Aside != "" || m.Live || m.Files() != 8 {
		t.Errorf("aside %q, live %t, files %d", r.Aside, m.Live, m.Files())
	}
	left := fmt.Sprint(m.LeftOut)
	for _, name := range []string{"volume managed", "data/pipe"} {
		if !strings.Contains(left, name) {
			t.Errorf("%s is not named as left out: %s", name, left)
		}
	}
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(to, "var/db/baetyl/data/sparse"), &st); err != nil || st.Blocks > 1024 {
		t.Errorf("the sparse file takes %d blocks (%v)", st.Blocks, err)
	}
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// An occupied device is not touched without force; with it, what was there is kept beside.
func TestForce(t *testing.T) {
	data, _ := made(t, options(device(t)))
	to := device(t)
	write(t, to, "var/db/baetyl/application.yml", "version: old\n")
	write(t, to, "var/db/baetyl/only-old/file", "old")
	before := tree(t, to)
	o := backup.RestoreOptions{Workdir: to}
	if _, err := backup.Restore(bytes.NewReader(data), o); !errors.Is(err, backup.ErrOccupied) {
		t.Fatalf("restored over an application: %v", err)
	}
	o.Force, o.DryRun = true, true
	if _, err := backup.Restore(bytes.NewReader(data), o); err != nil {
		t.Fatal(err)
	}
	if after := tree(t, to); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Error("a refused or dry run has changed something")
	}
	o.DryRun = false
	r, err := backup.Restore(bytes.NewReader(data), o)
	if err != nil {
		t.Fatal(err)
	}
	got := tree(t, to)
	if !strings.HasSuffix(got["var/db/baetyl/application.yml"], "v1\n") || got["var/db/baetyl/only-old"] != "" {
		t.Error("the old application is there still")
	}
	for path, text := range map[string]string{
		"var/db/baetyl/" + r.Aside + "/application.yml": "version: old\n", "var/db/baetyl/" + r.Aside + "/only-old/file": "old",
		"etc/baetyl/" + r.Aside + "/conf.yml": "mode: native\n", "srv/" + r.Aside + "/outside/file": "a volume elsewhere",
		"var/run/baetyl/instances.json": "of this boot", "srv/other": "not a volume",
	} {
		if !strings.HasSuffix(got[path], text) {
			t.Errorf("%s is %q", path, got[path])
		}
	}
	if _, m := made(t, options(to)); slices.ContainsFunc(m.Entries, func(e backup.Entry) bool {
		return strings.Contains(e.Path, r.Aside)
	}) {
		t.Error("what was moved aside is in the next backup")
	}
}

// A file that is cut off anywhere, or has another byte anywhere, is refused, and nothing is touched.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "var/db/baetyl/application.yml", "version: v1\n")
	data, _ := made(t, backup.Options{Workdir: dir, Application: func() *app.Config { return &app.Config{} }})
	to := t.TempDir()
	try := func(what string, data []byte) {
		t.Helper()
		if _, err := backup.Restore(bytes.NewReader(data), backup.RestoreOptions{Workdir: to}); err == nil {
			t.Fatalf("%s: restored", what)
		}
		if got := tree(t, to); len(got) != 1 {
			t.Fatalf("%s: has written %v", what, got)
		}
	}
	for n := range data {
		try(fmt.Sprintf("cut after %d bytes", n), data[:n])
	}
	for n := 10; n < len(data); n++ { // the first ten are the head of gzip, with a time that nobody needs
		other := slices.Clone(data)
		other[n] ^= 0x20
		if a, err := unzipped(other); err == nil { // a bit between two blocks, which means nothing
			if b, _ := unzipped(data); bytes.Equal(a, b) {
				continue
			}
		}
		try(fmt.Sprintf("byte %d", n), other)
	}
}

func unzipped(data []byte) ([]byte, error) {
	gz, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(gz)
}

// packed is an archive with a manifest and files that somebody has made by hand.
func packed(t *testing.T, manifest string, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	gz := gzip.NewWriter(&out)
	w := tar.NewWriter(gz)
	put := func(name, text string) {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	put("baetyl-backup.json", `{"format":1}`)
	for name, text := range files {
		put(name, text)
	}
	put("manifest.json", manifest)
	if err := errors.Join(w.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// No archive gets out of the folders of a device.
func TestHostile(t *testing.T) {
	for name, entries := range map[string]string{
		"leaves":              `{"path":"../x","kind":"folder"}`,
		"absolute":            `{"path":"/etc/x","kind":"folder"}`,
		"in no root":          `{"path":"bin/baetyl","kind":"folder"}`,
		"below a link":        `{"path":"var/db/baetyl","kind":"folder"},{"path":"var/db/baetyl/l","kind":"link","target":"/etc"},{"path":"var/db/baetyl/l/x","kind":"folder"}`,
		"twice":               `{"path":"var/db/baetyl","kind":"folder"},{"path":"var/db/baetyl","kind":"folder"}`,
		"stage":               `{"path":"var/db/baetyl","kind":"folder"},{"path":"var/db/baetyl/.baetyl-restore","kind":"folder"}`,
		"missing file":        `{"path":"var/db/baetyl","kind":"folder"},{"path":"var/db/baetyl/f","kind":"file","size":1,"sha256":"00"}`,
		"device":              `{"path":"var/db/baetyl","kind":"device"}`,
		"not clean":           `{"path":"var/db/baetyl/../x","kind":"folder"}`,
		"nothing above":       `{"path":"var/db/baetyl/a/b","kind":"folder"}`,
		"owner":               `{"path":"var/db/baetyl","kind":"folder","uid":-1}`,
		"mode":                `{"path":"var/db/baetyl","kind":"folder","mode":65535}`,
		"link to a NUL":       `{"path":"var/db/baetyl","kind":"folder"},{"path":"var/db/baetyl/l","kind":"link","target":"a\u0000"}`,
		"size of a directory": `{"path":"var/db/baetyl","kind":"folder","size":5}`,
	} {
		t.Run(name, func(t *testing.T) {
			to := t.TempDir()
			data := packed(t, `{"format":1,"roots":["var/db/baetyl"],"entries":[`+entries+`]}`, nil)
			if _, err := backup.Restore(bytes.NewReader(data), backup.RestoreOptions{Workdir: to}); err == nil {
				t.Error("restored")
			}
			if got := tree(t, to); len(got) != 1 {
				t.Errorf("has written %v", got)
			}
		})
	}
	for _, roots := range []string{`".."`, `"/"`, `"."`, `"var/run"`, `"bin"`, `"var"`, `"var/run/baetyl"`} {
		data := packed(t, `{"format":1,"roots":[`+roots+`],"entries":[]}`, nil)
		if _, err := backup.Verify(bytes.NewReader(data)); err == nil {
			t.Errorf("root %s is taken", roots)
		}
	}
	data := packed(t, `{"format":2}`, nil)
	if _, err := backup.Verify(bytes.NewReader(data)); err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("a later format: %v", err)
	}
}

// writers writes numbered lines into two files, one after the other, until it is frozen: in a copy of one moment the
// second file is never ahead of the first.
type writers struct {
	dir   string
	mu    sync.Mutex
	froze int
	thawn int
}

func (w *writers) write(n int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range []string{"first", "second"} {
		f, err := os.OpenFile(filepath.Join(w.dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(f, n)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (w *writers) Freeze(context.Context) (func(), error) {
	w.mu.Lock()
	w.froze++
	return func() { w.thawn++; w.mu.Unlock() }, nil
}

// The files of a backup that is made under load are those of one moment.
func TestConsistent(t *testing.T) {
	from := device(t)
	w := &writers{dir: filepath.Join(from, "var/db/baetyl/data")}
	stop, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				failed <- nil
				return
			default:
			}
			if err := w.write(n); err != nil {
				failed <- err
				return
			}
		}
	}()
	o := options(from)
	o.Freeze = w
	held := 0
	o.Hold = func(context.Context) (func(), error) { held++; return func() { held-- }, nil }
	for range 5 {
		data, m := made(t, o)
		to := t.TempDir()
		if _, err := backup.Restore(bytes.NewReader(data), backup.RestoreOptions{Workdir: to}); err != nil {
			t.Fatal(err)
		}
		first, err1 := os.ReadFile(filepath.Join(to, "var/db/baetyl/data/first"))
		second, err2 := os.ReadFile(filepath.Join(to, "var/db/baetyl/data/second"))
		if err1 != nil || err2 != nil || !bytes.Equal(first, second) {
			t.Fatalf("%d and %d bytes (%v, %v)", len(first), len(second), err1, err2)
		}
		if !m.Live || m.Frozen <= 0 {
			t.Errorf("live %t, frozen %s", m.Live, m.Frozen)
		}
	}
	close(stop)
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if w.froze != w.thawn || held != 0 {
		t.Errorf("frozen %d times, thawn %d times, held %d", w.froze, w.thawn, held)
	}
}

// restless freezes nothing: somebody who is no service writes.
type restless struct{ thawn int }

func (r *restless) Freeze(context.Context) (func(), error) {
	return func() { r.thawn++ }, nil
}

// A backup whose files do not come to rest is an error that says so, the services go on, and the reader learns it.
func TestRestless(t *testing.T) {
	from := device(t)
	r := &restless{}
	o := options(from)
	o.Freeze = r
	calls := 0
	o.Application = func() *app.Config { // once in each walk
		calls++
		if err := os.WriteFile(filepath.Join(from, "var/db/baetyl/data/busy"), []byte(fmt.Sprint(calls)), 0o600); err != nil {
			t.Error(err)
		}
		return application()
	}
	var out bytes.Buffer
	_, err := backup.Write(context.Background(), &out, o)
	if !errors.Is(err, backup.ErrChanging) || r.thawn == 0 {
		t.Errorf("%v; thawn %d times", err, r.thawn)
	}
	if _, read := backup.Verify(&out); read == nil || err == nil || read.Error() != err.Error() {
		t.Errorf("the reader learns %v", read)
	}
}

// No disk, no spool and no reader is filled or waited for for ever: a full pipe ends the backup, and services go on.
func TestReaderGone(t *testing.T) {
	o := options(device(t))
	w := &writers{dir: o.Workdir}
	o.Freeze = w
	for limit := int64(0); limit < 4000; limit += 100 {
		if _, err := backup.Write(context.Background(), &short{limit}, o); err == nil {
			t.Fatalf("%d bytes were enough", limit)
		}
	}
	if w.froze != w.thawn {
		t.Errorf("frozen %d times, thawn %d times", w.froze, w.thawn)
	}
	entries, err := os.ReadDir(filepath.Join(o.Workdir, "var/db/baetyl"))
	left := func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), ".backup") }
	if err != nil || slices.ContainsFunc(entries, left) {
		t.Errorf("a spool is left: %v %v", entries, err)
	}
}

type short struct{ left int64 }

func (s *short) Write(p []byte) (int, error) {
	if s.left -= int64(len(p)); s.left < 0 {
		return 0, syscall.ENOSPC
	}
	return len(p), nil
}

// A restore that is killed at any point is undone or finished by the next start: never half of it.
func TestKilled(t *testing.T) {
	program := filepath.Join(t.TempDir(), "killed")
	build := exec.Command("go", "build", "-tags", "faults", "-o", program, "./testdata/restore")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, _ := made(t, options(device(t)))
	archive := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(archive, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, point := range []string{
		"restore unpacked", "restore begun", "restore aside", "restore moved", "restore placed", "restore cleared",
	} {
		to := device(t)
		write(t, to, "var/db/baetyl/application.yml", "version: old\n")
		before := tree(t, to)
		killed := 0
		for ; ; killed++ { // each run is killed when it has done one thing more
			mode := "restore"
			if killed > 0 {
				mode = "recover"
			}
			run := exec.Command(program, mode, to, archive)
			run.Env = os.Environ()
			if killed < 10 { // at some points nothing more has been done
				run.Env = append(run.Env, "BAETYL_FAULT="+point, fmt.Sprintf("BAETYL_FAULT_FILE=%s.%s.%d", archive, point, killed))
			}
			out, err := run.CombinedOutput()
			if err == nil {
				break
			}
			if !strings.Contains(string(out), "fault: "+point) {
				t.Fatalf("%s: %v\n%s", point, err, out)
			}
		}
		if killed == 0 {
			t.Errorf("%s: never reached", point)
		}
		after := tree(t, to)
		if point == "restore unpacked" {
			if fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("%s: is not undone", point)
			}
			continue
		}
		if !strings.HasSuffix(after["var/db/baetyl/application.yml"], "v1\n") || backup.Interrupted(to) {
			t.Errorf("%s: is not finished", point)
		}
		old := 0
		for path, text := range after {
			if strings.Contains(path, ".baetyl-restore") {
				t.Errorf("%s: %s is left", point, path)
			}
			if strings.Contains(path, "before-restore-") && strings.HasSuffix(text, "version: old\n") {
				old++
			}
		}
		if old != 1 {
			t.Errorf("%s: the old application is there %d times", point, old)
		}
		t.Logf("%s: killed %d times", point, killed)
	}
}

// Old changes of a file are not taken for new ones: files that rest are copied once.
func TestRestingFilesAreCopiedOnce(t *testing.T) {
	from := device(t)
	old := time.Now().Add(-time.Hour)
	big := filepath.Join(from, "var/db/baetyl/data/big")
	content := bytes.Repeat([]byte("x"), 1<<20)
	if err := errors.Join(os.WriteFile(big, content, 0o600), os.Chtimes(big, old, old)); err != nil {
		t.Fatal(err)
	}
	o := options(from)
	o.Freeze = &writers{dir: from}
	data, _ := made(t, o)
	gz, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, gz)
	if err != nil || n > 40<<20 {
		t.Errorf("the archive has %d bytes (%v)", n, err)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, manifest []byte) {
		data := packed(&testing.T{}, string(manifest), map[string]string{"files/var/db/baetyl/f": "x"})
		_, _ = backup.Verify(bytes.NewReader(data))
		_, _ = backup.Verify(bytes.NewReader(manifest))
	})
}
