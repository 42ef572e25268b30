package volume

import (
	"strings"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/cloud"
)

// Private is the folder in Config.Dir that belongs to the agent; cloud.Volume.Dir refuses paths that lead into it.
const Private = ".agent"

// Folders and files in Private.
const (
	downloads  = Private + "/download"
	stage      = Private + "/stage"
	stagedNew  = stage + "/new"
	stagedOld  = stage + "/old"
	trash      = Private + "/trash" // folders that are being removed
	recordFile = Private + "/volumes.json"
)

// below returns p, a path as the master takes it, relative to cloud.Root; "" if it is not below. The root itself, which
// the agent mounts, and its parents give "" too: otherwise every folder would count as in use.
func below(p string) string {
	p, err := app.CleanPath(p)
	if err != nil {
		return ""
	}
	rest, ok := strings.CutPrefix(p, cloud.Root+"/")
	if !ok {
		return ""
	}
	return rest
}

// related tells whether a and b are the same folder or one lies in the other.
func related(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/")
}

// valid tells whether p is a path that Ensure could have recorded.
func valid(p string) bool {
	dir, err := (cloud.Volume{Path: cloud.Root + "/" + p}).Dir()
	return err == nil && dir == p
}
