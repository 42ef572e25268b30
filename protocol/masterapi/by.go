package masterapi

import (
	"strconv"
	"time"
)

// By is who asked for something. The zero value is nobody: the master has found another
// application.yml at a start.
type By struct {
	Service string `json:"service,omitempty"` // that has asked with its token
	Agent   bool   `json:"agent,omitempty"`   // the service is an agent: its cloud has asked
	UID     *int   `json:"uid,omitempty"`     // of the person who has asked at the admin socket
	User    string `json:"user,omitempty"`    // name of that user, where this host knows one
}

// String is for people.
func (b By) String() string {
	switch {
	case b.Agent:
		return "cloud, by service " + b.Service
	case b.Service != "":
		return "service " + b.Service
	case b.UID != nil && b.User != "":
		return b.User
	case b.UID != nil:
		return "uid " + strconv.Itoa(*b.UID)
	}
	return "application.yml"
}

// Stopped says since when a service is stopped by hand (RouteServiceStop), and by whom.
type Stopped struct {
	Since time.Time `json:"since"`
	By    By        `json:"by"`
}
