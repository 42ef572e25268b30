package application_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

const good = "version: v1\nservices:\n  - {name: a, image: i, replica: 1, args: [first, second]}\n" +
	"  - {name: b, image: i, replica: 1}\nvolumes:\n  - name: v\n    path: var/db/baetyl/some/where\n"

// installation is a working directory, and what its master logs.
type installation struct {
	*testing.T
	dir string
	log bytes.Buffer
}

func newInstallation(t *testing.T) *installation {
	i := &installation{T: t, dir: t.TempDir()}
	i.write(application.File, good)
	return i
}

func (i *installation) path(name string) string { return filepath.Join(i.dir, name) }

func (i *installation) write(name, content string) {
	i.Helper()
	require.NoError(i, os.MkdirAll(filepath.Dir(i.path(name)), 0o755))
	require.NoError(i, os.WriteFile(i.path(name), []byte(content), 0o600))
}

// start runs what Choose chooses, and returns its version and what is wrong with the file.
func (i *installation) start() (version string, wrong error) {
	i.Helper()
	c, data, wrong := application.Choose(file.OS, i.dir)
	fake := enginetest.NewFake()
	services := service.New(service.Options{
		Engine: fake, Log: log.Discard(), Records: service.NewRecords(i.path("instances.json"), file.OS, log.Discard()),
	})
	a := application.New(application.Options{
		Engine: fake, Services: services, Workdir: i.dir, Log: log.NewTo(&i.log, log.Config{Level: "debug"}),
	})
	a.Start(i.Context(), c, data)
	require.NoError(i, a.StopAll())
	return c.Version, wrong
}

// In place of a file that is bad the last good application runs; a file that is missing is an empty application.
func TestLastGoodApplication(t *testing.T) {
	put := func(content string) func(i *installation) {
		return func(i *installation) { i.write(application.File, content) }
	}
	in := func(make func(path string) error) func(i *installation) {
		return func(i *installation) { require.NoError(i, make(i.path(application.File))) }
	}
	for name, c := range map[string]struct {
		harm func(i *installation)
		want string // in the error; empty: the file is good, or missing
	}{
		"missing":              {func(*installation) {}, ""},
		"without services":     {put("version: none\nservices: []\n"), ""},
		"shorter by a service": {put("version: v1\nservices:\n  - {name: a, image: i, replica: 1, args: [first, second]}\n"), ""},
		"without a line break": {put(good[:len(good)-1]), ""},
		"comments":             {put("# services:\n#  - {name: a}\n"), ""},
		"no byte":              {put(""), "is empty; put the file back"},
		"zero bytes":           {put(string(make([]byte, 4096))), "there are only zero bytes"},
		"white space":          {put("\n\n  \n"), "is empty"},
		"cut off in a bracket": {put(good[:50]), "not YAML"},
		"cut off in a path":    {put(good[:len(good)-10]), "is cut off after"},
		"cut off in a key":     {put("version: v1\nserv"), "not YAML"},
		"cut off to nothing":   {put("version: v1\nservices:\n"), "is cut off after 22 of the"},
		"cut off in a text":    {put("version: v"), "is cut off after 10 of the"},
		"zeros at the end":     {put(good[:60] + string(make([]byte, 100))), "application.yml"},
		"two documents":        {put(good + "---\n" + good), "application.yml"},
		"something else":       {put("\x7fELF\x02\x01"), "application.yml"},
		"link to nothing":      {in(func(path string) error { return os.Symlink("nothing", path) }), "is a link to nothing"},
		"link to another link": {in(func(path string) error {
			return errors.Join(os.Symlink("nothing", path+".link"), os.Symlink("application.yml.link", path))
		}), "application.yml is a link to nothing"},
		"pipe":      {in(func(path string) error { return syscall.Mkfifo(path, 0o644) }), "is a FIFO"},
		"folder":    {in(func(path string) error { return os.Mkdir(path, 0o755) }), "is a folder"},
		"too large": {put(string(bytes.Repeat([]byte("#"), 5<<20))), "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			i := newInstallation(t)
			version, wrong := i.start()
			require.NoError(t, wrong)
			require.Equal(t, "v1", version)
			require.NoError(t, os.Remove(i.path(application.File)))
			c.harm(i)
			for range 2 { // the second start has not seen a good file either
				version, wrong = i.start()
				if c.want == "" {
					require.NoError(t, wrong)
					return
				}
				require.ErrorContains(t, wrong, c.want)
				require.ErrorContains(t, wrong, `the last good application (version "v1", kept in var/db/baetyl/application.last)`)
				require.Equal(t, "v1", version)
			}
			require.NoError(t, os.RemoveAll(i.path(application.File)))
			i.write(application.File, "version: v2\nservices: []\n")
			version, wrong = i.start()
			require.NoError(t, wrong)
			require.Equal(t, "v2", version)
			i.write(application.File, "")
			version, wrong = i.start()
			require.Error(t, wrong)
			require.Equal(t, "v2", version)
		})
	}
}

// A missing file does not cost the copy.
func TestMissingFileKeepsTheCopy(t *testing.T) {
	i := newInstallation(t)
	_, _ = i.start()
	require.NoError(t, os.Remove(i.path(application.File)))
	version, wrong := i.start()
	require.NoError(t, wrong)
	require.Empty(t, version)
	i.write(application.File, "")
	version, _ = i.start()
	require.Equal(t, "v1", version)
}

// A copy that is damaged is said to be, and nothing runs; the next good application is kept again.
func TestDamagedCopy(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"none":   os.Remove,
		"empty":  func(path string) error { return os.Truncate(path, 0) },
		"cut":    func(path string) error { return os.Truncate(path, 200) },
		"folder": func(path string) error { _ = os.Remove(path); return os.Mkdir(path, 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			i := newInstallation(t)
			_, _ = i.start()
			info, err := os.Stat(i.path(application.LastFile))
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode(), "environments hold secrets")
			require.NoError(t, damage(i.path(application.LastFile)))
			i.write(application.File, "")
			version, wrong := i.start()
			require.Empty(t, version)
			want := "copy of the last good application"
			if name == "none" {
				want = "no application has been good here before"
			}
			require.ErrorContains(t, wrong, "nothing runs, since there is no last good application: "+want)

			i.write(application.File, good)
			_, wrong = i.start()
			require.NoError(t, wrong)
			i.write(application.File, "")
			version, _ = i.start()
			require.Equal(t, "v1", version)
		})
	}
}

// Choose changes nothing, and a copy that is the same is not written again.
func TestChooseChangesNothing(t *testing.T) {
	i := newInstallation(t)
	_, _ = i.start()
	before, err := os.Stat(i.path(application.LastFile))
	require.NoError(t, err)
	_, _ = i.start()
	after, err := os.Stat(i.path(application.LastFile))
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after))

	i.write(application.File, "")
	i.write(application.LastFile, "rubbish")
	_, _, wrong := application.Choose(file.OS, i.dir)
	require.Error(t, wrong)
	entries, err := os.ReadDir(filepath.Dir(i.path(application.LastFile)))
	require.NoError(t, err)
	require.Len(t, entries, 2, "%v", entries)
}

// A disk that is not mounted is not an application without services.
func TestFolderIsALinkToNothing(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "var/db"), 0o755))
	_, _, wrong := application.Choose(file.OS, dir)
	require.NoError(t, wrong)
	require.NoError(t, os.Symlink("/no/such/disk", filepath.Join(dir, "var/db/baetyl")))
	_, _, wrong = application.Choose(file.OS, dir)
	require.ErrorContains(t, wrong, "var/db/baetyl is a link to nothing; mend the link")
}

func FuzzRead(f *testing.F) {
	for _, text := range []string{good, "", "\x00\x00", "# x\n", "---\n", "services: []", "a: {{.X}}", "{{.X}}"} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "application.yml")
	f.Fuzz(func(t *testing.T, data []byte) {
		require.NoError(t, os.WriteFile(path, data, 0o600))
		c, read, err := application.Read(file.OS, path)
		if err != nil {
			require.Nil(t, c)
			return
		}
		require.Equal(t, data, read)
		require.NotEmpty(t, bytes.TrimSpace(data), "nothing is no application")
	})
}
