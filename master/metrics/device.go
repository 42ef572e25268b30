package metrics

import (
	"runtime"
	"time"

	"github.com/baetyl/baetyl/master/doctor"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/master/update"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/host"
)

// Labels. The instance is not called so, since Prometheus gives that name to what it scrapes.
const (
	labelService  = "service"
	labelInstance = "service_instance"
)

// maxLabel is how many bytes of a version are a label: it is whatever the application says.
const maxLabel = 128

var (
	serviceStates = []string{
		masterapi.StatusRunning, masterapi.StatusStarting, masterapi.StatusRestarting, masterapi.StatusWaiting,
		masterapi.StatusFailed, masterapi.StatusExited, masterapi.HealthUnhealthy, masterapi.StateIdle, masterapi.StateStopped,
	}
	healthStates = []string{
		masterapi.HealthHealthy, masterapi.HealthStarting, masterapi.HealthUnhealthy, masterapi.HealthNone,
	}
	updateTypes   = []string{masterapi.UpdateApp, masterapi.UpdateMaster}
	updateResults = []struct{ step, name string }{
		{masterapi.StepUpdated, "updated"}, {masterapi.StepRolledBack, "rolled_back"}, {masterapi.StepFailure, "failed"},
	}
)

// device adds what is not about a service.
func (p page) device(d Device) {
	p.gauge("baetyl_build_info", "The master's program: always 1.", 1,
		"version", d.Version, "revision", d.Revision, "goversion", runtime.Version(), "mode", d.Mode)
	p.gauge("baetyl_application_info", "The application that runs: always 1.", 1,
		"version", d.Application[:min(len(d.Application), maxLabel)])
	p.flag("baetyl_application_ok", "1 if the application, and its last update, are as wanted.", d.AsWanted)
	p.updates(d)
}

// data adds the file system of the data folder.
func (p page) data(d host.FileSystem) {
	if d.Total == 0 {
		return
	}
	p.gauge("baetyl_data_size_bytes", "Size of the file system that has the data folder, var/db/baetyl.", float64(d.Total))
	p.gauge("baetyl_data_free_bytes", "Of that, what is free.", float64(d.Free))
	p.gauge("baetyl_data_used_bytes", "Of that, what is used.", float64(d.Used))
}

func (p page) certificates(all []doctor.Certificate) {
	for _, c := range all {
		p.since("baetyl_certificate_not_after_timestamp_seconds", "When the first certificate in a file that a "+
			"configuration names ends. The service is empty for the master.", c.NotAfter, "path", c.Path, labelService, c.Service)
	}
}

func (p page) updates(d Device) {
	for _, t := range updateTypes {
		p.flag("baetyl_update_running", "1 while an update runs: of the application (APP), of the master (MST).",
			d.Update.Running && d.Update.Type == t, "type", t)
		for _, r := range updateResults {
			p.count("baetyl_updates_total", "Updates that have ended since the master has started.",
				float64(d.Results[update.Result{Type: t, Step: r.step}]), "type", t, "result", r.name)
		}
	}
	steps := d.Update.Steps
	if d.Update.Running || len(steps) == 0 {
		return
	}
	began, err := time.Parse(time.RFC3339Nano, steps[0].Time)
	ended, err2 := time.Parse(time.RFC3339Nano, steps[len(steps)-1].Time)
	if err != nil || err2 != nil {
		return
	}
	p.flag("baetyl_last_update_success", "1 if the last update has brought what it was to bring.",
		d.Update.Result == masterapi.StepUpdated, "type", d.Update.Type)
	p.gauge("baetyl_last_update_duration_seconds", "How long the last update took.", ended.Sub(began).Seconds(),
		"type", d.Update.Type)
	p.since("baetyl_last_update_end_timestamp_seconds", "When the last update has ended.", ended, "type", d.Update.Type)
}

// service adds the numbers of one service and of its replicas. Instances that services start have names that come and
// go, so that they have no series of their own: they count for their service.
func (p page) service(s service.Numbers, t totals) {
	l := []string{labelService, s.Name}
	p.flag("baetyl_service_up", "1 if the service is as it should be: all of it runs, and is healthy where it has a "+
		"health check, or has done its work.", s.Fine && s.Stopped == nil, l...)
	p.oneOf("baetyl_service_state", "State of a service: 1 for the one that it is in.", "state", s.State, serviceStates, l...)
	p.oneOf("baetyl_service_health", "Health of a service: 1 for the one that it has.", "health", s.Health, healthStates, l...)
	p.flag("baetyl_service_stopped_by_hand", "1 while a person has stopped the service.", s.Stopped != nil, l...)
	p.gauge("baetyl_service_replicas", "Instances that the master starts.", float64(s.Replica), l...)
	if s.Replica > 0 {
		p.count("baetyl_service_expected_running_seconds_total", "How long the service was to run.",
			s.Expected.Seconds(), l...)
		p.count("baetyl_service_correct_running_seconds_total", "How long it was as it should be, of that.",
			s.Correct.Seconds(), l...)
	}
	running, memory, pids := 0, uint64(0), 0
	for _, i := range s.Instances {
		if i.Status == masterapi.StatusRunning {
			running++
		}
		if i.Mem != nil {
			memory += i.Mem.Used
		}
		if i.CPU != nil {
			pids += i.CPU.PIDs
		}
	}
	p.gauge("baetyl_service_instances_running", "Instances that run, those that services start too.", float64(running), l...)
	p.gauge("baetyl_service_memory_bytes", "Memory of all instances of a service.", float64(memory), l...)
	p.gauge("baetyl_service_pids", "Processes and threads of all instances of a service.", float64(pids), l...)
	restarts, cpu := t.of(s)
	p.count("baetyl_service_restarts_total", "Restarts of all instances of a service.", restarts, l...)
	p.count("baetyl_service_cpu_seconds_total", "Processor time of all instances of a service. That of an instance "+
		"which has ended counts up to the last request.", cpu, l...)
	for _, i := range replicas(s) {
		p.instance(i, labelService, s.Name, labelInstance, i.Name)
	}
}

func (p page) instance(i masterapi.Instance, l ...string) {
	state, _ := i.State()
	p.flag("baetyl_instance_up", "1 if the instance runs, and is healthy where it has a health check.",
		state == masterapi.StatusRunning, l...)
	p.oneOf("baetyl_instance_state", "State of an instance: 1 for the one that it is in.", "state", state,
		serviceStates[:7], l...)
	if i.Health != nil {
		p.oneOf("baetyl_instance_health", "Health of an instance that has a health check: 1 for the one that it has.", "health",
			i.Health.Status, healthStates[:3], l...)
	}
	p.count("baetyl_instance_restarts_total", "Restarts of an instance since its service was started.",
		float64(i.Restarts), l...)
	if i.StartTime != nil {
		p.since("baetyl_instance_start_time_seconds", "When the instance was started last.", *i.StartTime, l...)
	}
	if i.CPU != nil && i.CPU.Error == "" {
		p.count("baetyl_instance_cpu_seconds_total", "Processor time of an instance since its start.", i.CPU.Seconds, l...)
		p.gauge("baetyl_instance_pids", "Processes and threads of an instance.", float64(i.CPU.PIDs), l...)
	}
	if i.Mem != nil && i.Mem.Error == "" {
		p.gauge("baetyl_instance_memory_bytes", "Memory of an instance.", float64(i.Mem.Used), l...)
		if i.Mem.Total > 0 {
			p.gauge("baetyl_instance_memory_limit_bytes", "What it may have.", float64(i.Mem.Total), l...)
		}
	}
}

// modules adds how the modules have answered.
func (p page) modules(all []answer) {
	for _, a := range all {
		l := []string{labelService, a.at.service, labelInstance, a.at.instance}
		p.flag("baetyl_module_up", "1 if the module has answered the master with its numbers.", a.err == nil, l...)
		p.gauge("baetyl_module_scrape_duration_seconds", "How long that took.", a.took.Seconds(), l...)
		p.gauge("baetyl_module_series", "Series of the module on this page.", float64(a.series), l...)
		p.gauge("baetyl_module_series_dropped", "Series that are not: there are too many, or they are not valid.",
			float64(a.dropped), l...)
	}
}
