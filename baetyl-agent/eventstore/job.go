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
	App   App              `json:"app"`             // what was handed over
}

// App is an application that the master was asked to run.
type App struct {
	Version string   `json:"version"`
	Volumes []string `json:"volumes"` // paths as the master takes them
}

// Done tells whether the update has ended.
func (j Job) Done() bool { return len(j.Steps) > 0 && masterapi.Final(j.Steps[len(j.Steps)-1].Step) }

// state is the content of the file.
type state struct {
	Jobs   []Job    `json:"jobs"`   // in the order of Add
	Recent []string `json:"recent"` // traces of jobs that are gone, oldest first
}

func (s *state) find(trace string) *Job {
	for i := range s.Jobs {
		if s.Jobs[i].OTA.Trace == trace {
			return &s.Jobs[i]
		}
	}
	return nil
}

func (s state) clone() state {
	s.Jobs, s.Recent = slices.Clone(s.Jobs), slices.Clone(s.Recent)
	for i := range s.Jobs {
		s.Jobs[i].Steps = slices.Clone(s.Jobs[i].Steps)
	}
	return s
}
