package masterapi

import (
	"fmt"
	"strings"
)

// PruneRequest is the body of RoutePrune.
type PruneRequest struct {
	Volumes bool `json:"volumes,omitempty"` // also the volumes that no application names; their data is lost
	DryRun  bool `json:"dry_run,omitempty"` // nothing is removed
}

// Kinds of what is pruned.
const (
	PrunedImage   = "image"
	PrunedNetwork = "network"
	PrunedVolume  = "volume"
)

// Pruned is the answer of RoutePrune.
type Pruned struct {
	DryRun  bool         `json:"dry_run,omitempty"`
	Removed []PrunedItem `json:"removed"`          // with DryRun: what would be
	Failed  []PrunedItem `json:"failed,omitempty"` // could not be removed
	Note    string       `json:"note,omitempty"`   // for people: why nothing was done
}

// PrunedItem is one image, network or volume.
type PrunedItem struct {
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	ID    string `json:"id,omitempty"`    // of an image or network
	Bytes int64  `json:"bytes,omitempty"` // of an image, with the layers that it shares with others
	Error string `json:"error,omitempty"` // why it could not be removed
}

// String is for people.
func (p Pruned) String() string {
	var lines []string
	verb := "removed"
	if p.DryRun {
		verb = "would remove"
	}
	for _, i := range p.Removed {
		line := fmt.Sprintf("%s %s %s", verb, i.Kind, i.Name)
		if i.Bytes > 0 {
			line += fmt.Sprintf(" (%d MB)", (i.Bytes+1<<20-1)>>20)
		}
		lines = append(lines, line)
	}
	for _, i := range p.Failed {
		lines = append(lines, fmt.Sprintf("cannot remove %s %s: %s", i.Kind, i.Name, i.Error))
	}
	if p.Note != "" {
		lines = append(lines, p.Note)
	}
	if len(lines) == 0 {
		return "there is nothing to remove"
	}
	return strings.Join(lines, "\n")
}
