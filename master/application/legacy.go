package application

import (
	"path/filepath"

	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/host/measure"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

// ranFile is where 1.0.0-rc.1 kept the application while its services ran, before there was LastFile.
const ranFile = "var/run/baetyl/application.json"

type ran struct {
	Boot string `json:"boot"`
	Data []byte `json:"data"` // of application.yml
}

func ranState(d file.Disk, workdir string) state.File[ran] {
	return state.File[ran]{
		Path: filepath.Join(workdir, ranFile), What: "copy of the application that runs", Version: 1, Disk: d,
		Log: log.Discard(),
	}
}

// ranBefore returns what a master of that version ran when it ended in this boot; nothing: there is none.
func ranBefore(d file.Disk, workdir string) ([]byte, error) {
	was, err := ranState(d, workdir).Peek()
	if err != nil || was.Boot != measure.BootID() {
		return nil, err
	}
	return was.Data, nil
}

// forgetRan removes it, since LastFile is newer.
func forgetRan(d file.Disk, workdir string) error {
	if _, err := d.Or().Lstat(filepath.Join(workdir, ranFile)); err != nil {
		return nil // there is none
	}
	return ranState(d, workdir).Remove()
}
