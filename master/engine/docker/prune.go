//go:build unix

package docker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Prune says when an image that this master has pulled, and that no application and no container uses, is removed.
type Prune struct {
	Unused time.Duration // after this time without use, while masters run; 0: not for its age
	// Disk is in percent of docker's disk: as long as more is used, images go whatever their age, longest unused first.
	// 0 and 100: not for the disk
	Disk int
}

// lastPrune is what one prune leaves to the next.
type lastPrune struct {
	mu   sync.Mutex // serializes Prune, and guards what follows
	last time.Time  // zero: this master has not pruned yet
}

var _ engine.Pruner = (*Engine)(nil)

// Prune removes networks and, if asked, volumes of this master that no application names, and images that this master
// has pulled and nobody uses. The daemon itself refuses what is in use: nothing is forced.
func (e *Engine) Prune(ctx context.Context, named engine.Named, p engine.Pruning) masterapi.Pruned {
	e.pruned.mu.Lock()
	defer e.pruned.mu.Unlock()
	r := &pruning{Engine: e, asked: p.All, out: masterapi.Pruned{DryRun: p.DryRun, Removed: []masterapi.PrunedItem{}}}
	if err := e.ping(ctx); err != nil {
		r.out.Note = fmt.Sprintf("nothing was removed: %s", err)
		return r.out
	}
	if named.Networks != nil {
		r.networks(ctx, named)
	}
	switch {
	case !p.Volumes:
	case named.Volumes == nil:
		r.out.Note = "volumes are kept: no application with services is known, so nobody can tell which ones are of use"
	default:
		r.volumes(ctx, named)
	}
	r.images(ctx, p.All)
	return r.out
}

// pruning is one run of Prune.
type pruning struct {
	*Engine
	asked bool // by a person or a service, who wants to know
	out   masterapi.Pruned
}

// remove removes one item and notes how that went. What is gone already is no failure.
func (r *pruning) remove(ctx context.Context, i masterapi.PrunedItem, remove func(ctx context.Context) error) {
	if !r.out.DryRun {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		if err := remove(ctx); err != nil && !errdefs.IsNotFound(err) {
			i.Error = err.Error()
			r.failed(i)
			return
		}
		r.opts.Log.WithField(i.Kind, i.Name).Infof("%s is removed: nobody uses it any more", i.Kind)
	}
	r.out.Removed = append(r.out.Removed, i)
}

func (r *pruning) failed(i masterapi.PrunedItem) {
	log := r.opts.Log.WithField(i.Kind, i.Name).Debugf
	if r.asked {
		log = r.opts.Log.WithField(i.Kind, i.Name).Warnf
	}
	log("%s cannot be removed: %s", i.Kind, i.Error)
	r.out.Failed = append(r.out.Failed, i)
}

// list asks the daemon for a list; an error counts as an item that failed.
func list[T any](ctx context.Context, r *pruning, kind string, ask func(ctx context.Context) (T, error)) (T, bool) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	out, err := ask(ctx)
	if err != nil {
		r.failed(masterapi.PrunedItem{Kind: kind, Name: "(all)", Error: fmt.Sprintf("list: %s", err)})
	}
	return out, err == nil
}

// ours are the labels of what this master has made.
func (r *pruning) ours() (filters.Args, error) {
	id, err := r.masterID()
	return filters.NewArgs(filters.Arg("label", labelMaster+"="+id)), err
}

// networks removes those that no container is in. Networks of before they had the id of their master stay: whose they
// are is not known.
func (r *pruning) networks(ctx context.Context, named engine.Named) {
	all, _ := list(ctx, r, masterapi.PrunedNetwork, func(ctx context.Context) ([]network.Summary, error) {
		ours, err := r.ours()
		if err != nil {
			return nil, err
		}
		return r.api.NetworkList(ctx, network.ListOptions{Filters: ours})
	})
	for _, n := range all {
		if named.Networks[n.Name] || n.Name == app.DefaultNetwork {
			continue
		}
		i := masterapi.PrunedItem{Kind: masterapi.PrunedNetwork, Name: n.Name, ID: n.ID}
		r.remove(ctx, i, func(ctx context.Context) error {
			r.setup.Lock() // not while networks are made for a container
			defer r.setup.Unlock()
			return r.removeNetwork(ctx, n.ID)
		})
	}
}

// removeNetwork removes a network that no container is in. Podman does not refuse the others when it is asked by id.
func (r *pruning) removeNetwork(ctx context.Context, id string) error {
	have, err := r.api.NetworkInspect(ctx, id, network.InspectOptions{})
	if err != nil {
		return err
	}
	for _, c := range have.Containers {
		return fmt.Errorf("network %s has active endpoints: container %s is in it", have.Name, c.Name)
	}
	return r.api.NetworkRemove(ctx, id)
}

func (r *pruning) volumes(ctx context.Context, named engine.Named) {
	all, _ := list(ctx, r, masterapi.PrunedVolume, func(ctx context.Context) (volume.ListResponse, error) {
		ours, err := r.ours()
		if err != nil {
			return volume.ListResponse{}, err
		}
		return r.api.VolumeList(ctx, volume.ListOptions{Filters: ours})
	})
	for _, v := range all.Volumes {
		if named.Volumes[v.Name] {
			continue
		}
		i := masterapi.PrunedItem{Kind: masterapi.PrunedVolume, Name: v.Name}
		r.remove(ctx, i, func(ctx context.Context) error { return r.api.VolumeRemove(ctx, v.Name) })
	}
}

// images removes images whose time is over, then others while the disk is too full; with all, each that nobody uses.
func (r *pruning) images(ctx context.Context, all bool) {
	here, ok := list(ctx, r, masterapi.PrunedImage, func(ctx context.Context) ([]image.Summary, error) {
		return r.api.ImageList(ctx, image.ListOptions{All: true})
	})
	containers, ok2 := list(ctx, r, masterapi.PrunedImage, func(ctx context.Context) ([]container.Summary, error) {
		return r.api.ContainerList(ctx, container.ListOptions{All: true})
	})
	if !ok || !ok2 {
		return
	}
	used := r.used()
	for _, c := range containers {
		used[c.ImageID] = true
	}
	found := map[string]image.Summary{}
	for _, i := range here {
		found[i.ID] = i
	}
	ours := r.age(found, used)
	var unused []string
	for id, o := range ours {
		if !used[id] && !others(found[id], o) {
			unused = append(unused, id)
		}
	}
	slices.SortFunc(unused, func(a, b string) int {
		return cmp.Or(cmp.Compare(ours[b].Idle, ours[a].Idle), strings.Compare(a, b))
	})
	policy := r.settings.Load().Prune
	for _, id := range unused {
		if !all && (policy.Unused == 0 || ours[id].Idle < policy.Unused) && !r.tooFull(ctx, policy.Disk) {
			continue
		}
		i := found[id]
		name := id
		if len(ours[id].Refs) > 0 {
			name = ours[id].Refs[0]
		}
		item := masterapi.PrunedItem{Kind: masterapi.PrunedImage, Name: name, ID: id, Bytes: i.Size}
		r.remove(ctx, item, func(ctx context.Context) error { return r.removeImage(ctx, i) })
	}
}

// used are the images of the running application and the one before, and those that an update may use next.
func (e *Engine) used() map[string]bool {
	e.images.mu.Lock()
	defer e.images.mu.Unlock()
	out := maps.Clone(e.images.resolved)
	if out == nil {
		out = map[string]bool{}
	}
	for _, m := range []map[string]engine.Image{e.images.now.Running, e.images.now.Previous} {
		for _, i := range m {
			out[i.ID] = true
		}
	}
	return out
}

// age counts for how long images have not been used, and forgets those that are gone.
func (r *pruning) age(found map[string]image.Summary, used map[string]bool) map[string]pulledImage {
	now := time.Now() // of which the monotonic part counts
	var since time.Duration
	if !r.pruned.last.IsZero() {
		since = now.Sub(r.pruned.last)
	}
	r.pruned.last = now
	return r.pulled.change(func(of map[string]pulledImage) {
		for id, i := range of {
			if _, here := found[id]; !here {
				delete(of, id)
				continue
			}
			if i.Idle += since; used[id] {
				i.Idle = 0
			}
			of[id] = i
		}
	})
}

// others tells whether an image has a name that this master has not given to it: then it is of use to somebody.
func others(i image.Summary, o pulledImage) bool {
	return slices.ContainsFunc(tagsOf(i), func(tag string) bool {
		return !slices.ContainsFunc(o.Refs, func(ref string) bool { return sameName(ref, tag) })
	})
}

// tagsOf are the names of an image. Daemons before API 1.43 give a name to one that has none.
func tagsOf(i image.Summary) []string {
	return slices.DeleteFunc(slices.Clone(i.RepoTags), func(tag string) bool { return tag == "<none>:<none>" })
}

// removeImage removes an image by each of its names: the daemon removes it with the last one.
func (e *Engine) removeImage(ctx context.Context, i image.Summary) error {
	refs := tagsOf(i)
	if len(refs) == 0 {
		refs = []string{i.ID}
	}
	for _, ref := range refs {
		if err := e.api.ImageRemove(ctx, ref, image.RemoveOptions{PruneChildren: true}); err != nil {
			return err
		}
	}
	return nil
}

// tooFull tells whether more than so many percent of docker's disk are used. A disk of another machine is not known.
func (r *pruning) tooFull(ctx context.Context, percent int) bool {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	info, err := r.api.Info(ctx)
	if err != nil || percent <= 0 || percent >= 100 {
		return false
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(info.DockerRootDir, &fs); err != nil || fs.Blocks == 0 {
		return false
	}
	usable := fs.Blocks - fs.Bfree + fs.Bavail // without what is reserved for root, as df counts
	return float64(fs.Blocks-fs.Bfree)*100 > float64(usable)*float64(percent)
}
