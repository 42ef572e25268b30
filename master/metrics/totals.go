package metrics

import (
	"slices"

	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// totals add up counters of the instances of each service. They do not fall when an instance ends or is started anew, as
// a sum would.
type totals map[string]*total

type total struct {
	restarts, cpu adder
}

// adder adds up counters that begin anew from time to time.
type adder struct {
	ended float64            // of those that have ended or begun anew
	last  map[string]float64 // by instance
}

func (a *adder) sum(now map[string]float64) float64 {
	sum := 0.0
	for name, before := range a.last {
		if v, ok := now[name]; !ok || v < before {
			a.ended += before
		}
	}
	a.last = now
	for _, v := range now {
		sum += v
	}
	return a.ended + sum
}

// of returns the totals of a service. What was not measured this time is as it was.
func (t totals) of(s service.Numbers) (restarts, cpu float64) {
	x := t[s.Name]
	if x == nil {
		x = &total{}
		t[s.Name] = x
	}
	r, c := map[string]float64{}, map[string]float64{}
	for _, i := range s.Instances {
		r[i.Name] = float64(i.Restarts)
		if i.CPU != nil && i.CPU.Error == "" {
			c[i.Name] = i.CPU.Seconds
		} else if before, ok := x.cpu.last[i.Name]; ok {
			c[i.Name] = before
		}
	}
	return x.restarts.sum(r), x.cpu.sum(c)
}

// forget forgets services that are not there any more.
func (t totals) forget(all []service.Numbers) {
	for name := range t {
		if !slices.ContainsFunc(all, func(s service.Numbers) bool { return s.Name == name }) {
			delete(t, name)
		}
	}
}

// replicas are the instances that the master starts.
func replicas(s service.Numbers) (out []masterapi.Instance) {
	for _, i := range s.Instances {
		if slices.Contains(s.Replicas, i.Name) {
			out = append(out, i)
		}
	}
	return out
}
