package app

import (
	"fmt"
	"slices"
	"strings"
)

// Rights of a service: what its token allows it to ask of the master ("RESTful API").
const (
	RightInspect = "inspect" // the state of the system
	RightUpdate  = "update"  // another application, another master
	RightPorts   = "ports"   // a free port of the host
	RightStart   = "start"   // an instance of any service
	RightStop    = "stop"    //
	RightReport  = "report"  // for its own instances; no service may report for others
)

// Rights returns what the service may ask of the master: its `api`, also when that is empty, or else what the module
// that its image names is known to need.
func (s Service) Rights() []string {
	if s.API != nil {
		return s.API
	}
	switch module(s.Image) {
	case "baetyl-function-manager", legacyFunctionManager:
		// it looks for what an earlier one has left
		return []string{RightReport, RightInspect, RightStart, RightStop, RightPorts}
	case "baetyl-agent", legacyAgent:
		return []string{RightReport, RightInspect, RightUpdate}
	}
	return []string{RightReport}
}

// module is the name of an image without registry, path, tag and digest.
func module(image string) string {
	name := strings.TrimSpace(image)
	name = name[strings.LastIndexByte(name, '/')+1:]
	name, _, _ = strings.Cut(name, "@")
	name, _, _ = strings.Cut(name, ":")
	return name
}

func checkRights(rights []string) error {
	for i, r := range rights {
		if slices.Index(rights, r) < i {
			return fmt.Errorf("api[%d]: %q stands twice; keep one of them", i, r)
		}
	}
	return nil
}
