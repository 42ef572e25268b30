//go:build linux

package disorder_test

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
)

// actionTimeout bounds what a person asks of the daemon.
const actionTimeout = 30 * time.Second

// do lets one thing happen. What it happens to may be missing, which is no fault.
func (w *world) do(s step) {
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	switch s.action {
	case "daemon-stop", "daemon-kill", "daemon-hang":
		w.lower(s.action)
		return
	case "daemon-up":
		w.raise()
		return
	case "live-restore":
		w.daemon.LiveRestore = !w.daemon.LiveRestore
		return
	case "master-kill", "keeper-kill":
		w.killMaster(s.action == "keeper-kill")
		return
	case "tag-move":
		w.offer(s.target, s.number)
		return
	case "update":
		w.ensureMaster()
		w.update(s.number)
		return
	}
	// The others need the daemon: half of the time it comes back for them.
	if w.hung || w.down {
		if s.number%2 == 0 {
			w.t.Log("  the daemon is away")
			return
		}
		w.raise()
	}
	if err := w.ask(ctx, s); err != nil {
		w.t.Logf("  %v", err)
	}
}

// ask does what a person does with the daemon.
func (w *world) ask(ctx context.Context, s step) error {
	switch s.action {
	case "prune":
		return w.daemon.TryPrune()
	case "daemon-replace":
		w.daemon.Replace()
		w.addStranger() // the new daemon has nothing
		return nil
	case "remove":
		return w.api.ContainerRemove(ctx, s.target, container.RemoveOptions{Force: true})
	case "rename":
		return w.api.ContainerRename(ctx, s.target, "renamed-"+strconv.Itoa(s.number))
	case "pause":
		return w.api.ContainerPause(ctx, s.target)
	case "stop":
		return w.api.ContainerStop(ctx, s.target, container.StopOptions{})
	case "kill":
		return w.api.ContainerKill(ctx, s.target, "KILL")
	case "restart":
		return w.api.ContainerRestart(ctx, s.target, container.StopOptions{})
	case "disconnect":
		c, err := w.api.ContainerInspect(ctx, s.target)
		if err != nil {
			return err
		}
		for name := range c.NetworkSettings.Networks {
			return w.api.NetworkDisconnect(ctx, name, c.ID, true)
		}
		return nil
	case "network-remove":
		n, err := w.api.NetworkInspect(ctx, s.target, network.InspectOptions{})
		if err != nil {
			return err
		}
		for id := range n.Containers {
			if err := w.api.NetworkDisconnect(ctx, n.ID, id, true); err != nil {
				w.t.Logf("  %v", err)
			}
		}
		return w.api.NetworkRemove(ctx, n.ID)
	case "image-remove":
		_, err := w.api.ImageRemove(ctx, w.registry.Host()+"/"+s.target+":1", image.RemoveOptions{Force: true})
		return err
	}
	return fmt.Errorf("unknown action %q", s.action)
}

// lower takes the daemon away, if it is there.
func (w *world) lower(how string) {
	switch {
	case w.hung || w.down:
	case how == "daemon-hang":
		w.daemon.Hang()
		w.hung = true
	case how == "daemon-kill":
		w.daemon.Kill()
		w.down = true
	default:
		w.daemon.Stop()
		w.down = true
	}
}

// raise brings the daemon back.
func (w *world) raise() {
	if w.hung {
		w.daemon.Continue()
	}
	if w.down {
		w.daemon.Start()
	}
	w.hung, w.down = false, false
}

// ensureMaster starts the keeper if it was killed.
func (w *world) ensureMaster() {
	if w.keeper == nil {
		w.startMaster()
	}
}

// up brings daemon and master back.
func (w *world) up() {
	w.raise()
	w.ensureMaster()
}
