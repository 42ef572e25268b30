package engine

import (
	"context"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

// ImagesFile is where it is recorded what the names of images mean, relative to the working directory.
const ImagesFile = "var/db/baetyl/images.json"

// Image is what the name of an image means.
type Image struct {
	ID     string `json:"id"`               // of the image on this host
	Digest string `json:"digest,omitempty"` // repository@sha256:…, to pull it again; empty: it was loaded here
}

// Images is what the names of images in application.yml mean. A name is one thing for all services.
type Images struct {
	App      string           `json:"app"`                // SHA-256 of the application.yml that Running is of, in hex
	Running  map[string]Image `json:"running"`            // by name
	Previous map[string]Image `json:"previous,omitempty"` // of the application before
	// Unsure: it is not certain that Running is of the application that runs. Containers that run know better.
	Unsure bool `json:"-"`
}

// NewImagesFile returns the file of that record at path. An update stages the next one beside it (master/update).
func NewImagesFile(path string, disk file.Disk, l log.Logger) state.File[Images] {
	return state.File[Images]{
		Path: path, What: "record of the images", Version: 1, Disk: disk, Log: l,
		Then: "images are those of the containers that run, and otherwise what their names mean now",
	}
}

// Imager is an engine whose services are images: what a name means is recorded, and only an update changes it. The
// methods may be called from any goroutine.
type Imager interface {
	// Resolve returns what a name means now; the image is pulled before as the configuration of the engine says. An image
	// was that is here, or can be pulled as exactly that, is taken in its place; the zero value is none.
	Resolve(ctx context.Context, name string, was Image) (Image, error)
	// Use sets what names mean from now on. While an update is trying them nothing of them is written.
	Use(now Images, trying bool)
	// Images returns what names mean, as far as that is known.
	Images() Images
}

// Examiner is an engine that needs more than this host: a daemon, images.
type Examiner interface {
	// Examine says what is missing to start services with these images, without a network. It changes nothing.
	Examine(ctx context.Context, images []string) []masterapi.Finding
}

// Named is what applications name: that which runs, one that an update is changing to, and one kept for a rollback.
type Named struct {
	Networks map[string]bool // nil: nobody knows, and none is removed
	Volumes  map[string]bool // the same
}

// Pruning says what to remove.
type Pruning struct {
	All     bool // images whether or not their time is over
	Volumes bool // also those that no application names
	DryRun  bool // nothing is removed, only listed
}

// Pruner is an engine that leaves things behind which cost space: images, networks, volumes. Only what this master has
// made is removed. What fails is in the answer, and stops nothing.
type Pruner interface {
	Prune(ctx context.Context, named Named, p Pruning) masterapi.Pruned
}
