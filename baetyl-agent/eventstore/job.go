package eventstore

import (
	"slices"

	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Job is one update.
type Job struct {
	OTA   cloud.OTA        `json:"ota"`
	Steps []cloud.Progress `json:"steps"`           // oldest first; the first one is RECEIVED
	Seen  int              `json:"seen,omitempty"`  // steps that are from the master's log
	Clean bool             `json:"clean,omitempty"` // old volumes are still to be removed
	App   App              `json:"app"`             // what the master was asked to run
}

// App is an application that the master was asked to run.
type App struct {
	Version string   `json:"version"`
	Volumes []string `json:"volumes"` // paths as the master takes them
}

// Done tells whether the last step is a final one.
func (j Job) Done() bool { return len(j.Steps) > 0 && masterapi.Final(j.Steps[len(j.Steps)-1].Step) }

// content is what the file holds.
type content struct {
	Jobs   []Job    `json:"jobs"`   // in the order of Add
	Recent []string `json:"recent"` // traces of jobs that are gone, oldest first
}

func (c *content) find(trace string) *Job {
	for i := range c.Jobs {
		if c.Jobs[i].OTA.Trace == trace {
			return &c.Jobs[i]
		}
	}
	return nil
}

func (c content) clone() content {
	c.Jobs, c.Recent = slices.Clone(c.Jobs), slices.Clone(c.Recent)
	for i := range c.Jobs {
		c.Jobs[i].Steps = slices.Clone(c.Jobs[i].Steps)
	}
	return c
}
