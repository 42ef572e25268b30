package arch_test

import (
	"bytes"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// What programs are built from. Each group is a library that our code imports, first, and what that brings along.
var (
	// Configuration and log, which every program has.
	base = []string{"gopkg.in/yaml.v2", "gopkg.in/validator.v2", "github.com/creasty/defaults",
		"github.com/sirupsen/logrus", "golang.org/x/sys"}
	// MQTT packets, connections and WebSocket, which every module has through the SDK.
	mqtt = []string{"github.com/256dpi/gomqtt", "github.com/256dpi/mercury", "gopkg.in/tomb.v2",
		"github.com/gorilla/websocket"}
	// Function calls.
	grpc = []string{"google.golang.org/grpc", "google.golang.org/protobuf", "google.golang.org/genproto/googleapis/rpc",
		"golang.org/x/net", "golang.org/x/text"}
	// The page for Prometheus. Its data model is made of protobuf messages.
	prometheus = []string{"github.com/prometheus/client_golang", "github.com/prometheus/client_model",
		"github.com/prometheus/common", "github.com/prometheus/procfs", "github.com/beorn7/perks",
		"github.com/cespare/xxhash/v2", "github.com/munnerz/goautoneg", "google.golang.org/protobuf"}
	// The hub's store, and the hashes of its passwords.
	store = []string{"github.com/syndtr/goleveldb", "github.com/golang/snappy", "golang.org/x/crypto"}
	// Measurements of the machine.
	gopsutil = []string{"github.com/shirou/gopsutil/v4", "github.com/tklauser/go-sysconf", "github.com/tklauser/numcpus"}
	// Lines of an application.yml, for messages of the command line and of plans.
	lines = []string{"go.yaml.in/yaml/v3"}
	// The command line.
	cobra = []string{"github.com/spf13/cobra", "github.com/spf13/pflag"}
	// The client of docker, with the telemetry that it brings. No program of ours turns the telemetry on.
	docker = []string{"github.com/docker/docker", "github.com/docker/go-connections", "github.com/docker/go-units",
		"github.com/containerd/errdefs", "github.com/containerd/errdefs/pkg", "github.com/distribution/reference",
		"github.com/moby/docker-image-spec", "github.com/opencontainers/go-digest", "github.com/opencontainers/image-spec",
		"github.com/pkg/errors", "github.com/felixge/httpsnoop", "github.com/go-logr/logr", "github.com/go-logr/stdr",
		"github.com/cespare/xxhash/v2", "go.opentelemetry.io/auto/sdk",
		"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp", "go.opentelemetry.io/otel",
		"go.opentelemetry.io/otel/log", "go.opentelemetry.io/otel/metric", "go.opentelemetry.io/otel/trace"}
)

// programs lists the Go modules of other projects that each program links: these, and no others.
var programs = map[string][][]string{
	// It is all modules too.
	".":                       {base, gopsutil, lines, cobra, docker, mqtt, grpc, prometheus, store},
	"cmd":                     {base, gopsutil, lines, cobra, docker, prometheus},
	"baetyl-agent":            {base, mqtt, prometheus},
	"baetyl-function-manager": {base, mqtt, grpc, prometheus},
	"baetyl-function-sql":     {base, mqtt, grpc},
	"baetyl-hub":              {base, mqtt, prometheus, store},
	"baetyl-remote-mqtt":      {base, mqtt, prometheus},
	"baetyl-timer":            {base, mqtt},
}

// A program links only what it uses. A commit that adds a library to a program adds it here too, and says why.
func TestProgramsLinkOnlyWhatIsListed(t *testing.T) {
	for program, groups := range programs {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			allowed, linked := slices.Concat(groups...), links(t, program)
			for _, m := range linked {
				if !slices.Contains(allowed, m) {
					t.Errorf("%s links %s, which is not listed for it (go list -deps shows who imports it)", program, m)
				}
			}
			for _, m := range allowed {
				if !slices.Contains(linked, m) {
					t.Errorf("%s does not link %s any more: remove it from the list", program, m)
				}
			}
		})
	}
}

// Each module of this repository has its list.
func TestEveryModuleHasItsList(t *testing.T) {
	for _, p := range list(t) {
		from := local(p.ImportPath)
		if p.Name == "main" && strings.HasPrefix(from, "baetyl-") && path.Dir(from) == "." && programs[from] == nil {
			t.Errorf("%s has no entry in programs", from)
		}
	}
}

// links returns the Go modules of other projects that program links when it is built as the Makefile does, for linux on
// amd64.
func links(t *testing.T, program string) []string {
	t.Helper()
	importPath := module + "/" + program
	if program == "." {
		importPath = module
	}
	cmd := exec.Command("go", "list", "-deps", "-tags", "grpcnotrace,nethttpomithttp2",
		"-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", importPath)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v: %s", importPath, err, stderr.String())
	}
	found := strings.Fields(string(out))
	slices.Sort(found)
	return slices.Compact(found)
}

// A call of reflect.Value.MethodByName with a name that is not constant, as text/template has one, makes the linker
// keep every exported method of every library: megabytes of each program.
func TestNoProgramKeepsAllMethods(t *testing.T) {
	for program := range programs {
		if program == "cmd" {
			continue // is linked in "."
		}
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("go", "build", "-tags", "grpcnotrace,nethttpomithttp2", "-ldflags", "-dumpdep",
				"-o", os.DevNull, "./"+program)
			cmd.Dir = "../.."
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %s", err, out)
			}
			for line := range strings.Lines(string(out)) {
				from, to, _ := strings.Cut(strings.TrimSpace(line), " -> ")
				if strings.HasSuffix(to, "<ReflectMethod>") && !strings.HasPrefix(from, "reflect.") {
					t.Errorf("%s calls %s", from, to)
				}
			}
		})
	}
}
