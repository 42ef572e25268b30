package agenttest

import (
	"context"
	"encoding/json"
	"errors"
	nethttp "net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// ErrLost is what Master.Update returns when its answer is lost (Lose).
var ErrLost = errors.New("answer got lost")

// Master stands for the master: it takes updates, writes its log and has the application in its report. Its methods may
// be called at any time; what they set counts from the next call on.
type Master struct {
	Dir string // its var/db/baetyl

	mu      sync.Mutex
	steps   []string // that the next updates take
	refuse  []int    // statuses of the next answers
	lost    bool     // the next answer gets lost
	away    bool     // no inspect
	calls   []masterapi.UpdateRequest
	inspect masterapi.Inspect
	reports []string
}

// NewMaster returns a master whose updates succeed. dir is its var/db/baetyl.
func NewMaster(dir string) *Master {
	return &Master{Dir: dir, steps: []string{masterapi.StepUpdating, masterapi.StepUpdated}}
}

// Steps sets the steps that the next updates take, in their order.
func (m *Master) Steps(steps ...string) { m.set(func() { m.steps = steps }) }

// Refuse answers the next updates with these HTTP statuses, one each.
func (m *Master) Refuse(statuses ...int) { m.set(func() { m.refuse = statuses }) }

// Lose makes the master carry out the next update without an answer.
func (m *Master) Lose() { m.set(func() { m.lost = true }) }

// Away makes Inspect fail.
func (m *Master) Away(away bool) { m.set(func() { m.away = away }) }

// Live sets the volumes of the running application.
func (m *Master) Live(paths ...string) {
	m.set(func() {
		m.inspect.Volumes = nil
		for _, p := range paths {
			m.inspect.Volumes = append(m.inspect.Volumes, masterapi.Volume{Name: filepath.Base(p), Path: p})
		}
	})
}

// Calls returns the updates that were asked for and not refused.
func (m *Master) Calls() (calls []masterapi.UpdateRequest) {
	m.set(func() { calls = append(calls, m.calls...) })
	return calls
}

// Reports returns what instances reported.
func (m *Master) Reports() (reports []string) {
	m.set(func() { reports = append(reports, m.reports...) })
	return reports
}

func (m *Master) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// Inspect returns the report of the system.
func (m *Master) Inspect(context.Context) (*masterapi.Inspect, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return nil, errors.New("master is away")
	}
	i := m.inspect
	i.Time = time.Now().UTC()
	return &i, nil
}

// RequestUpdate takes an update and goes through its steps at once.
func (m *Master) RequestUpdate(_ context.Context, r masterapi.UpdateRequest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.refuse) > 0 {
		status := m.refuse[0]
		m.refuse = m.refuse[1:]
		return http.Errorf(status, "refused", "refused with %d", status)
	}
	m.calls = append(m.calls, r)
	for i, s := range m.steps {
		m.log(i == 0, r.Type, r.Trace, s)
		if s == masterapi.StepUpdated && r.Type == masterapi.UpdateApp {
			m.commit(r.Path)
		}
	}
	if m.lost {
		m.lost = false
		return ErrLost
	}
	return nil
}

// Log adds a step to the log of updates, as the master does when an update goes on.
func (m *Master) Log(kind, trace, step string) { m.set(func() { m.log(false, kind, trace, step) }) }

func (m *Master) log(anew bool, kind, trace, step string) {
	mode := os.O_APPEND | os.O_CREATE | os.O_WRONLY
	if anew {
		mode |= os.O_TRUNC
	}
	f, err := os.OpenFile(filepath.Join(m.Dir, "ota.log"), mode, 0o644)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	r := masterapi.OTARecord{Time: time.Now().UTC(), Level: "info", Msg: step, Step: step, Type: kind, Trace: trace}
	if step == masterapi.StepRollingBack {
		r.Error = "service x ended"
	}
	data, _ := json.Marshal(r)
	if _, err := f.Write(append(data, '\n')); err != nil {
		panic(err)
	}
}

func (m *Master) commit(path string) {
	rest, ok := strings.CutPrefix(path, cloud.Root+"/")
	if !ok {
		panic("master is handed " + path)
	}
	a, err := app.Load(filepath.Join(m.Dir, rest))
	if err != nil {
		panic(err)
	}
	m.inspect.Software.ConfVersion, m.inspect.Volumes = a.Version, nil
	for _, v := range a.Volumes {
		m.inspect.Volumes = append(m.inspect.Volumes, masterapi.Volume{Name: v.Name, Path: v.Path})
	}
}

// Serve offers the API on a socket and returns its address. It ends with the test.
func (m *Master) Serve(t testing.TB) string {
	mux := nethttp.NewServeMux()
	mux.HandleFunc(masterapi.RouteInspect.Pattern(), func(w nethttp.ResponseWriter, r *nethttp.Request) {
		i, err := m.Inspect(r.Context())
		if err != nil {
			http.WriteError(w, http.Errorf(500, "internal", "%s", err))
			return
		}
		http.WriteJSON(w, 200, i)
	})
	mux.HandleFunc(masterapi.RouteUpdate.Pattern(), func(w nethttp.ResponseWriter, r *nethttp.Request) {
		var in masterapi.UpdateRequest
		err := http.ReadJSON(r, &in)
		if err == nil {
			err = m.RequestUpdate(r.Context(), in)
		}
		if he := new(http.Error); errors.As(err, &he) {
			http.WriteError(w, he)
		} else if err != nil {
			panic(nethttp.ErrAbortHandler)
		}
	})
	mux.HandleFunc(masterapi.RouteReport.Pattern(), func(w nethttp.ResponseWriter, r *nethttp.Request) {
		var in json.RawMessage
		if err := http.ReadJSON(r, &in); err == nil {
			m.set(func() { m.reports = append(m.reports, string(in)) })
		}
	})
	dir, err := os.MkdirTemp("", "m") // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	address := "unix://" + filepath.Join(dir, "m.sock")
	s := http.NewServer(http.ServerConfig{Address: address}, mux)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return address
}
