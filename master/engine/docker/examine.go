//go:build unix

package docker

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Examine says whether the daemon answers, and which of the images are missing for a start without a network. It pulls
// nothing.
func (e *Engine) Examine(ctx context.Context, images []string) (out []masterapi.Finding) {
	if err := e.api.Ping(ctx); err != nil {
		return []masterapi.Finding{{
			Severity: masterapi.SeverityError, Text: fmt.Sprintf("docker daemon does not answer: %s", err),
			Hint: "systemctl start docker; DOCKER_HOST says where it is looked for",
		}}
	}
	running := e.Images().Running
	if kept, err := e.images.file.Peek(); running == nil && err == nil { // of an engine that runs nothing
		running = kept.Running
	}
	slices.Sort(images)
	for _, name := range slices.Compact(images) {
		ref := strings.TrimSpace(name)
		if was := running[name]; was.ID != "" {
			ref = was.ID
		}
		_, here, err := e.findImage(ctx, ref)
		switch {
		case err != nil:
			out = append(out, masterapi.Finding{Severity: masterapi.SeverityWarning, Text: err.Error()})
		case !here:
			out = append(out, masterapi.Finding{
				Severity: masterapi.SeverityWarning,
				Text:     fmt.Sprintf("image %s is not here: its services do not start without a network", name),
				Hint:     "docker pull, or docker load, " + name,
			})
		}
	}
	if len(out) == 0 {
		out = append(out, masterapi.Finding{Severity: masterapi.SeverityOK,
			Text: fmt.Sprintf("docker answers, and has all images of the application (API %s)", e.api.Version())})
	}
	return out
}
