package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

func run(t *testing.T, command string, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, commands[command](args, &out))
	return out.String()
}

func TestTreeKeepsWhatTheUserChanged(t *testing.T) {
	example, prefix := t.TempDir(), t.TempDir()
	conf, app := filepath.Join(example, "etc/baetyl/conf.yml"), filepath.Join(example, "var/db/baetyl/application.yml")
	write(t, conf, "v1")
	write(t, app, "v1")
	require.Empty(t, run(t, "tree", example, prefix))

	// the user changes one, the project both
	write(t, filepath.Join(prefix, "etc/baetyl/conf.yml"), "mine")
	write(t, conf, "v2")
	write(t, app, "v2")
	out := run(t, "tree", example, prefix)
	require.Contains(t, out, "kept etc/baetyl/conf.yml")
	require.NotContains(t, out, "application.yml")
	require.Equal(t, "mine", read(t, filepath.Join(prefix, "etc/baetyl/conf.yml")))
	require.Equal(t, "v2", read(t, filepath.Join(prefix, "var/db/baetyl/application.yml")))

	// a file that the user made before the first install is the user's too
	write(t, filepath.Join(example, "etc/baetyl/other.yml"), "sample")
	write(t, filepath.Join(prefix, "etc/baetyl/other.yml"), "mine")
	require.Contains(t, run(t, "tree", example, prefix), "kept etc/baetyl/other.yml")
	require.Equal(t, "mine", read(t, filepath.Join(prefix, "etc/baetyl/other.yml")))
}

// Nobody else reads a file with passwords; one that is replaced keeps its owner, its group and what that may do.
func TestTreeKeepsSecrets(t *testing.T) {
	example, prefix := t.TempDir(), t.TempDir()
	conf, plain := "var/db/baetyl/hub/service.yml", "var/db/baetyl/code/service.yml"
	mode := func(name string) os.FileMode {
		info, err := os.Stat(filepath.Join(prefix, name))
		require.NoError(t, err)
		return info.Mode().Perm()
	}
	write(t, filepath.Join(example, "etc/baetyl/conf.yml"), "mode: native")
	write(t, filepath.Join(example, application), "version: v0")
	write(t, filepath.Join(example, plain), "functions: []\n# password: none\n")
	write(t, filepath.Join(example, conf), "principals:\n- username: a\n  password: b\n")
	run(t, "tree", example, prefix)
	require.Equal(t, os.FileMode(0o600), mode(conf))
	require.Equal(t, os.FileMode(0o600), mode(application), "the environment of services may be secret")
	require.Equal(t, os.FileMode(0o644), mode(plain))
	// An earlier version has installed it for all, and the master has given it to a group.
	require.NoError(t, os.Chmod(filepath.Join(prefix, conf), 0o644))
	require.NoError(t, os.Lchown(filepath.Join(prefix, conf), os.Getuid(), os.Getgid()))
	run(t, "tree", example, prefix)
	require.Equal(t, os.FileMode(0o640), mode(conf))
	write(t, filepath.Join(example, conf), "principals:\n- {username: a, password: c}\n")
	run(t, "tree", example, prefix)
	require.Equal(t, os.FileMode(0o640), mode(conf))
	require.Contains(t, read(t, filepath.Join(prefix, conf)), "c}")
	// What the user has changed is the user's.
	write(t, filepath.Join(prefix, conf), "principals:\n- {username: a, password: mine}\n")
	require.NoError(t, os.Chmod(filepath.Join(prefix, conf), 0o644))
	require.Contains(t, run(t, "tree", example, prefix), "everybody on this machine can read the passwords in "+conf)
	require.Equal(t, os.FileMode(0o644), mode(conf))
}

// The docker example shares files with the native one by links; what is installed are files.
func TestTreeFollowsLinks(t *testing.T) {
	example, prefix := t.TempDir(), t.TempDir()
	write(t, filepath.Join(example, "native/var/db/baetyl/code/index.py"), "code")
	require.NoError(t, os.MkdirAll(filepath.Join(example, "docker/etc"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(example, "docker/var/db/baetyl"), 0o755))
	require.NoError(t,
		os.Symlink("../../../../native/var/db/baetyl/code", filepath.Join(example, "docker/var/db/baetyl/code")))
	run(t, "tree", filepath.Join(example, "docker"), prefix)
	for _, path := range []string{"var/db/baetyl/code", "var/db/baetyl/code/index.py"} {
		info, err := os.Lstat(filepath.Join(prefix, path))
		require.NoError(t, err)
		require.Zero(t, info.Mode()&os.ModeSymlink, path)
	}
}

func TestRemove(t *testing.T) {
	install := func(t *testing.T) string {
		example, prefix := t.TempDir(), filepath.Join(t.TempDir(), "prefix")
		write(t, filepath.Join(example, "etc/baetyl/conf.yml"), "sample")
		write(t, filepath.Join(example, "var/db/baetyl/application.yml"), "sample")
		run(t, "tree", example, prefix)
		write(t, filepath.Join(prefix, "bin/baetyl"), "binary")
		write(t, filepath.Join(prefix, "var/db/baetyl/baetyl-hub/bin/baetyl-hub"), "binary")
		run(t, "certs", filepath.Join(prefix, testCerts))
		return prefix
	}
	t.Run("nothing of the user's is there", func(t *testing.T) {
		prefix := install(t)
		require.Empty(t, run(t, "remove", prefix, "baetyl-hub"))
		require.NoDirExists(t, prefix+"/etc")
		require.NoDirExists(t, prefix+"/bin")
		require.NoDirExists(t, prefix+"/var")
	})
	t.Run("data and changed configuration stay", func(t *testing.T) {
		prefix := install(t)
		data := filepath.Join(prefix, "var/db/baetyl/localhub-data/store")
		write(t, data, "messages")
		write(t, filepath.Join(prefix, "etc/baetyl/conf.yml"), "mine")
		require.Contains(t, run(t, "remove", prefix, "baetyl-hub"), "PURGE=1")
		require.FileExists(t, data)
		require.FileExists(t, filepath.Join(prefix, "etc/baetyl/conf.yml"))
		require.NoFileExists(t, filepath.Join(prefix, "var/db/baetyl/application.yml"))
		require.NoDirExists(t, filepath.Join(prefix, "var/db/baetyl/baetyl-hub"))
		require.NoFileExists(t, filepath.Join(prefix, "bin/baetyl"))
		require.NoFileExists(t, filepath.Join(prefix, testCerts, "server.key"))
	})
	t.Run("purge", func(t *testing.T) {
		prefix := install(t)
		write(t, filepath.Join(prefix, "var/db/baetyl/localhub-data/store"), "messages")
		write(t, filepath.Join(prefix, "var/other"), "not ours")
		require.Empty(t, run(t, "remove", "-purge", prefix, "baetyl-hub"))
		require.NoDirExists(t, filepath.Join(prefix, "var/db"))
		require.FileExists(t, filepath.Join(prefix, "var/other"))
	})
}

func TestManifestCannotLeaveThePrefix(t *testing.T) {
	for _, line := range []string{"00  ../../etc/passwd", "00  /etc/passwd", "no separator"} {
		_, err := parseManifest(line + "\n")
		require.Error(t, err, line)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add("ab  etc/baetyl/conf.yml\n")
	f.Add("\n\n  \n")
	f.Add("ab  ../x")
	f.Fuzz(func(t *testing.T, text string) {
		known, err := parseManifest(text)
		for name := range known {
			if err == nil && !filepath.IsLocal(name) {
				t.Fatalf("%q leaves the prefix", name)
			}
		}
	})
}

func TestPackOfAGoModule(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "baetyl-thing")
	write(t, dir+"/main.go", "package main")
	write(t, dir+"/baetyl-thing", "binary")
	write(t, dir+"/function.yml", "socket: true\n")
	archive := dir + "/package.zip"
	run(t, "pack", dir, archive)
	first := read(t, archive)
	run(t, "pack", dir, archive)
	require.Equal(t, first, read(t, archive), "the same input gives the same bytes")

	target := filepath.Join(t.TempDir(), "installed")
	run(t, "unpack", archive, target)
	require.Equal(t, "entry: bin/baetyl-thing\n", read(t, target+"/package.yml"))
	require.Equal(t, "socket: true\n", read(t, target+"/function.yml"))
	info, err := os.Stat(target + "/bin/baetyl-thing")
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o755), info.Mode().Perm())
	require.NoFileExists(t, target+"/main.go")
}

func TestPackOfARuntime(t *testing.T) {
	root := t.TempDir()
	shared, dir := filepath.Join(root, "shared.py"), filepath.Join(root, "baetyl-function-x")
	write(t, shared, "print()")
	write(t, dir+"/package.yml", "entry: bin/x.py\n")
	write(t, dir+"/function.yml", "socket: true\n")
	write(t, dir+"/testdata/x", "")
	require.NoError(t, os.MkdirAll(dir+"/bin", 0o755))
	require.NoError(t, os.Symlink(shared, dir+"/bin/x.py"))
	run(t, "pack", dir, dir+"/package.zip")

	target := filepath.Join(root, "installed")
	write(t, target+"/package.yml", "of an earlier install")
	write(t, target+"/bin/gone.py", "of an earlier install")
	write(t, target+"/venv/prepared", "")
	run(t, "unpack", dir+"/package.zip", target)
	require.Equal(t, "print()", read(t, target+"/bin/x.py"))
	require.Equal(t, "socket: true\n", read(t, target+"/function.yml"))
	require.FileExists(t, target+"/venv/prepared", "what was prepared beside the package moves along")
	require.NoFileExists(t, target+"/bin/gone.py")
	require.NoDirExists(t, target+"/testdata")

	require.Error(t, pack([]string{root, root + "/package.zip"}, &bytes.Buffer{}), "neither a runtime nor a Go module")
}

func TestCerts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	run(t, "certs", dir)
	for _, key := range []string{"server.key", "client.key"} {
		info, err := os.Stat(filepath.Join(dir, key))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), key)
	}
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM([]byte(read(t, dir+"/ca.pem"))))
	server, err := tls.LoadX509KeyPair(dir+"/server.pem", dir+"/server.key")
	require.NoError(t, err)
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "localhub"} {
		_, err := server.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: pool})
		require.NoError(t, err, name)
	}
	client, err := tls.LoadX509KeyPair(dir+"/client.pem", dir+"/client.key")
	require.NoError(t, err)
	_, err = client.Leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	require.NoError(t, err)

	before := read(t, dir+"/server.key")
	require.Empty(t, run(t, "certs", dir))
	require.Equal(t, before, read(t, dir+"/server.key"), "a second install keeps them")
}

func TestRoots(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca-certificates.crt")
	require.Empty(t, run(t, "roots", path))
	count := 0
	for rest := []byte(read(t, path)); len(rest) > 0; count++ {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		require.NotNil(t, block)
		cert, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		require.True(t, cert.IsCA, cert.Subject)
	}
	require.Greater(t, count, 100)
}

func TestAnnounce(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	write(t, log, "")
	past := time.Now().Add(-time.Minute)
	require.NoError(t, os.Chtimes(log, past, past))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	text := strings.NewReader("next: mosquitto_sub\n")

	binary := filepath.Join(t.TempDir(), "installer")
	build, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, string(build))
	cmd := exec.Command(binary, "announce", "-pid", strconv.Itoa(os.Getpid()), "-address", l.Addr().String(), "-log", log)
	cmd.Stdin = text
	out, err := cmd.Output()
	require.NoError(t, err)
	require.Equal(t, "next: mosquitto_sub\n", string(out))

	// with the master gone it ends, and says nothing
	gone := exec.Command("true")
	require.NoError(t, gone.Run())
	cmd = exec.Command(binary, "announce", "-pid", strconv.Itoa(gone.Process.Pid), "-address", "127.0.0.1:1", "-log", log)
	cmd.Stdin = strings.NewReader("never shown")
	out, err = cmd.Output()
	require.NoError(t, err)
	require.Empty(t, string(out))
}
