//go:build unix

package docker

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/folder"
)

// instancesDir has a folder for each service, in which each instance has one, below the working directory.
const instancesDir = "var/run/baetyl/instances"

// runPath is where a container finds its run folder (masterapi.EnvRunDir).
const runPath = "/var/run/baetyl-instance"

// instanceDir is the folder of an instance on the host. Nobody but the master gets into it; the run folder in it is
// open to the user of the container, whoever that is.
func instanceDir(workdir, service, instance string) string {
	return filepath.Join(workdir, instancesDir, service, instance)
}

// RunDir implements engine.Folders.
func (e *Engine) RunDir(service, instance string) string {
	return filepath.Join(instanceDir(e.opts.Workdir, service, instance), "run")
}

// makeRunDir makes the run folder of an instance anew, and returns it; empty: the instance gets none. One that another
// service starts is called by that one alone. Where a read-only mount, or another one, has its place, there is none.
func (s *sandbox) makeRunDir(spec engine.Spec, mounts []mountPoint) (string, error) {
	if spec.Token == "" || covered(mounts) {
		return "", nil
	}
	dir := instanceDir(s.engine.opts.Workdir, s.service.Name, spec.Name)
	if err := folder.Remove(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	run := s.engine.RunDir(s.service.Name, spec.Name)
	if err := os.Mkdir(run, 0o700); err != nil {
		return "", err
	}
	return run, os.Chmod(run, 0o777) // whatever the umask is
}

// covered tells whether docker could not mount something at runPath.
func covered(mounts []mountPoint) bool {
	for _, m := range mounts {
		if m.Target == runPath || m.ReadOnly && strings.HasPrefix(runPath, strings.TrimSuffix(m.Target, "/")+"/") {
			return true
		}
	}
	return false
}

// removeRunDir removes what makeRunDir has made. What cannot be removed now is, when the instance starts anew.
func (e *Engine) removeRunDir(service, instance string) {
	if err := folder.Remove(instanceDir(e.opts.Workdir, service, instance)); err != nil {
		e.opts.Log.WithError(err).Warnf("the run folder of instance %s cannot be removed now", instance)
	}
}

// removeRunDirs removes the folders of instances that are not in keep: an earlier master has left them. No instance
// starts meanwhile.
func (e *Engine) removeRunDirs(keep []engine.Record) {
	wanted := map[string]bool{}
	for _, r := range keep {
		wanted[instanceDir(e.opts.Workdir, r.Service, r.Instance)] = true
	}
	all := filepath.Join(e.opts.Workdir, instancesDir)
	services, _ := os.ReadDir(all) // none, or nothing that can be read, is nothing to remove
	for _, service := range services {
		instances, _ := os.ReadDir(filepath.Join(all, service.Name()))
		for _, i := range instances {
			if !wanted[filepath.Join(all, service.Name(), i.Name())] {
				e.removeRunDir(service.Name(), i.Name())
			}
		}
		_ = os.Remove(filepath.Join(all, service.Name())) // unless it has one
	}
}
