//go:build e2e

package e2e_test

import (
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// The samples of docs/module-authors.md work as they stand there: the test takes the blocks of the page, builds them
// and runs them.
func TestModuleAuthors(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/module-authors.md"))
	must(t, err)
	block := func(name string) string {
		t.Helper()
		_, rest, ok := strings.Cut(string(page), "\n`"+name+"`\n\n```")
		if !ok {
			t.Fatalf("docs/module-authors.md has no block %s", name)
		}
		_, rest, _ = strings.Cut(rest, "\n")
		text, _, _ := strings.Cut(rest, "```")
		return text
	}
	s := newSystem(t).withoutTimer()
	author(t, "counter", block("main.go"), s.path("var/db/baetyl/counter"))
	author(t, "upper", block("upper/main.go"), s.path("var/db/baetyl/upper"))
	if mode == masterapi.ModeDocker {
		for _, name := range []string{"counter", "upper"} {
			buildImage(t, name, strings.ReplaceAll(block("Dockerfile"), "counter", name), s.path("var/db/baetyl/"+name))
		}
	}
	s.write("var/db/baetyl/counter-conf/service.yml", block("counter-conf/service.yml"))
	insert := func(file, section, text string) {
		s.replace(file, section+":\n", section+":\n"+text)
	}
	insert(appFile, "services", block("services")+block("upper services"))
	insert(appFile, "volumes", block("volumes")+block("upper volumes"))
	insert(managerFile, "rules", block("upper rules"))
	insert(managerFile, "functions", block("upper functions"))
	if out, code := s.check(); code != 0 {
		t.Fatalf("check: %s", out)
	}
	s.start()
	sub := s.subscribe("#")

	s.waitStatus("counter", "running", 1)
	sub.wait("t/count", `{"count":0}`)
	s.publish("t", "one")
	s.publish("t", "two")
	sub.wait("t/count", `{"count":2}`)
	s.eventually("inspect shows the reported count", func() error {
		all, err := s.instances("counter")
		if err == nil && !strings.Contains(describe(all), `"count":2`) {
			err = errors.New(describe(all))
		}
		return err
	})

	s.publish("loud", "hello")
	sub.wait("loud/upper", "HELLO")
	s.publish("loud", "")
	sub.wait("loud/upper", "errorMessage", "nothing to write in capitals")
}

// buildImage follows the page too: docker build beside the folder package.
func buildImage(t *testing.T, name, dockerfile, pkg string) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644))
	must(t, os.Rename(pkg, filepath.Join(dir, "package")))
	const roots = "ca-certificates.crt"
	for _, args := range [][]string{
		{filepath.Join(root, ".build/installer"), "roots", filepath.Join(dir, roots)},
		{"docker", "build", "-t", name, dir},
		{"docker", "create", "--name", name + "-roots", name},
		{"docker", "cp", name + "-roots:/etc/ssl/certs/" + roots, filepath.Join(dir, "copy")},
		{"docker", "rm", name + "-roots"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	t.Cleanup(func() { exec.Command("docker", "rmi", "--force", name).Run() })
	if pem, err := os.ReadFile(filepath.Join(dir, "copy")); err != nil || !x509.NewCertPool().AppendCertsFromPEM(pem) {
		t.Errorf("no certificate in the image at /etc/ssl/certs/%s: %v", roots, err)
	}
}

// author follows the page: a folder beside the clone, go mod init, go work init, go build, package.yml.
func author(t *testing.T, name, source, target string) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o644))
	for _, args := range [][]string{
		{"go", "mod", "init", "example.com/" + name},
		{"go", "work", "init", ".", root},
		{"go", "build", "-o", filepath.Join(target, "bin", name), "."},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOWORK=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	must(t, os.WriteFile(filepath.Join(target, "package.yml"), []byte("entry: bin/"+name+"\n"), 0o644))
}
