//go:build linux

package disorder_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// want says what each instance has.
var want = map[string]struct {
	service, image string
	networks       map[string]string // by network: an alias
	asks, of       string            // address that it asks, and the service that answers
}{
	"web":       {"web", "app/a", map[string]string{"front": "www", "back": "site"}, "jobs:7000", "worker"},
	"worker":    {"worker", "app/a", map[string]string{"back": "jobs"}, "site:7000", "web"},
	"worker.i1": {"worker", "app/a", map[string]string{"back": "jobs"}, "site:7000", "web"},
	"edge":      {"edge", "app/b", map[string]string{"front": "edge"}, "www:7000", "web"},
	"plain":     {"plain", "app/b", map[string]string{"baetyl": "plain"}, "plain:7000", "plain"},
}

// settle waits until all is as written, and remembers what runs.
func (w *world) settle(round int) {
	w.t.Helper()
	var err error
	for deadline := time.Now().Add(settleTimeout); ; {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		err = w.check(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("round %d: not as written within %s:\n%v", round, settleTimeout, err)
		}
		time.Sleep(500 * time.Millisecond) // a check asks a lot of the daemon
	}
}

// check returns what is not as written. With no fault the ids of images are remembered.
func (w *world) check(ctx context.Context) error {
	current, err := w.current()
	if err != nil {
		return err
	}
	errs := []error{w.checkUpdate(current), w.checkInspect(ctx, current)}
	ids, inContainers := w.checkContainers(ctx, current)
	if inContainers == nil {
		errs = append(errs, w.checkNames(ctx, current))
	}
	errs = append(errs, inContainers, w.checkRest(ctx))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	w.ids, w.seen = ids, current.version
	return nil
}

// checkUpdate: the last update has ended, and its end says what the file has.
func (w *world) checkUpdate(current application) error {
	f, err := os.Open(w.path(masterapi.OTALog))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	records, err := masterapi.ReadOTALog(f)
	if err != nil || len(records) == 0 {
		return err
	}
	last := records[len(records)-1]
	if !masterapi.Final(last.Step) {
		return fmt.Errorf("update %s has not ended: %s", last.Trace, last.Step)
	}
	should := last.Trace
	if last.Step != masterapi.StepUpdated {
		should = w.before[last.Trace]
	}
	if current.version != should {
		return fmt.Errorf("update %s ended with %s, and application.yml has %s", last.Trace, last.Step, current.version)
	}
	return nil
}

// checkInspect: the master says what the file says.
func (w *world) checkInspect(ctx context.Context, current application) error {
	var in masterapi.Inspect
	if err := w.master.Get(ctx, masterapi.PathInspect, &in); err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	var errs []error
	if in.Software.ConfVersion != current.version {
		const text = "inspect has version %s, application.yml %s"
		errs = append(errs, fmt.Errorf(text, in.Software.ConfVersion, current.version))
	}
	running := map[string]bool{}
	for _, s := range in.Services {
		for _, i := range s.Instances {
			if _, ok := want[i.Name]; !ok {
				errs = append(errs, fmt.Errorf("inspect has an instance %s", i.Name))
			}
			running[i.Name] = i.Status == masterapi.StatusRunning
			if !running[i.Name] {
				errs = append(errs, fmt.Errorf("inspect: %s is %s: %s %s", i.Name, i.Status, i.Error, s.Error))
			}
		}
	}
	for name := range want {
		if _, ok := running[name]; !ok {
			errs = append(errs, fmt.Errorf("inspect lacks %s", name))
		}
	}
	return errors.Join(errs...)
}

// checkContainers: those of the application run, as written, and there is none more. It returns the ids of images by
// service.
func (w *world) checkContainers(ctx context.Context, current application) (map[string]string, error) {
	list, err := w.api.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return nil, err
	}
	var errs []error
	found, ids := map[string]bool{}, map[string]string{}
	for _, c := range list {
		if c.ID == w.stranger {
			found[stranger] = true
			errs = append(errs, checkStranger(c))
			continue
		}
		name := strings.TrimPrefix(strings.Join(c.Names, ","), "/")
		if _, ok := want[name]; !ok {
			errs = append(errs, fmt.Errorf("container %s (%s, %s) is left", name, c.ID[:12], c.Status))
			continue
		}
		found[name] = true
		ids[want[name].service] = c.ImageID
		errs = append(errs, w.checkContainer(ctx, name, c.ID, current))
	}
	for _, name := range append(sorted(want), stranger) {
		if !found[name] {
			errs = append(errs, fmt.Errorf("container %s is missing", name))
		}
	}
	return ids, errors.Join(errs...)
}

func (w *world) checkContainer(ctx context.Context, name, id string, current application) error {
	c, err := w.api.ContainerInspect(ctx, id)
	if err != nil {
		return err
	}
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("container %s: "+format, append([]any{name}, args...)...))
	}
	if !c.State.Running || c.State.Paused {
		wrong("is %s", c.State.Status)
	}
	should := want[name]
	if v := fmt.Sprintf("V=%s-%d", should.service, current.numbers[should.service]); !slices.Contains(c.Config.Env, v) {
		wrong("has not %s", v)
	}
	if have, want := sorted(c.NetworkSettings.Networks), sorted(should.networks); !slices.Equal(have, want) {
		wrong("is in networks %q, not %q", have, want)
	} else {
		for network, alias := range should.networks {
			n := c.NetworkSettings.Networks[network]
			if !slices.Contains(n.Aliases, alias) && !slices.Contains(n.DNSNames, alias) && name != alias {
				wrong("has not the alias %s in %s, only %q", alias, network, n.Aliases)
			}
		}
	}
	if should.service == "worker" && !slices.ContainsFunc(c.Mounts, func(m container.MountPoint) bool {
		return m.Name == "data" && m.Destination == "/data"
	}) {
		wrong("has not the volume data")
	}
	if !slices.Contains(w.off, "ids") {
		before, same := w.ids[should.service], w.seen == current.version // an update looks at the image of each service
		if _, ok := w.offered[should.image][c.Image]; !ok {
			wrong("has the image %s, which its tag never had", c.Image)
		} else if before != "" && same && c.Image != before {
			wrong("has the image %s, and no update has changed %s", c.Image, before)
		}
	}
	return errors.Join(errs...)
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// checkNames: each instance reaches the service that it is to reach.
func (w *world) checkNames(ctx context.Context, current application) error {
	var errs []error
	for _, name := range sorted(want) {
		should := want[name]
		answer, err := w.exec(ctx, name, "/peer", "ask", should.asks)
		if v := fmt.Sprintf("V=%s-%d", should.of, current.numbers[should.of]); err != nil || answer != v {
			const text = "%s asks %s: %q, not %q; error: %w"
			errs = append(errs, fmt.Errorf(text, name, should.asks, answer, v, cmp.Or(err, errors.New("none"))))
		}
	}
	return errors.Join(errs...)
}

// exec returns what a command in a container writes.
func (w *world) exec(ctx context.Context, name string, command ...string) (string, error) {
	e, err := w.api.ContainerExecCreate(ctx, name,
		container.ExecOptions{Cmd: command, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return "", err
	}
	at, err := w.api.ContainerExecAttach(ctx, e.ID, container.ExecAttachOptions{})
	if err != nil {
		return "", err
	}
	defer at.Close()
	if limit, ok := ctx.Deadline(); ok {
		_ = at.Conn.SetDeadline(limit)
	}
	var out bytes.Buffer
	_, err = stdcopy.StdCopy(&out, &out, at.Reader)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return out.String(), err
}

// checkRest: networks and volumes are those of the application.
func (w *world) checkRest(ctx context.Context) error {
	var errs []error
	networks, err := w.api.NetworkList(ctx, network.ListOptions{})
	errs = append(errs, err)
	names := map[string]int{}
	for _, n := range networks {
		names[n.Name]++
	}
	wantNetworks := map[string]int{"bridge": 1, "host": 1, "none": 1, "baetyl": 1, "front": 1, "back": 1, stranger: 1}
	if err == nil && !maps.Equal(names, wantNetworks) {
		errs = append(errs, fmt.Errorf("networks are %v", names))
	}
	volumes, err := w.api.VolumeList(ctx, volume.ListOptions{})
	errs = append(errs, err)
	var have []string
	for _, v := range volumes.Volumes {
		have = append(have, v.Name)
	}
	slices.Sort(have)
	if err == nil && !slices.Equal(have, []string{"data", stranger}) {
		errs = append(errs, fmt.Errorf("volumes are %q", have))
	}
	return errors.Join(errs...)
}

// end stops the master in order: no container is left.
func (w *world) end() {
	require.NoError(w.t, w.keeper.Process.Signal(syscall.SIGTERM))
	require.NoError(w.t, w.keeper.Wait())
	w.keeper = nil
	list, err := w.api.ContainerList(context.Background(), container.ListOptions{All: true})
	require.NoError(w.t, err)
	require.Len(w.t, list, 1, "containers are left after the end of the master")
	require.Equal(w.t, w.stranger, list[0].ID)
}
