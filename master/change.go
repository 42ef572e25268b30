package master

import (
	"context"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Plan says what an update would do, and changes nothing: masterapi.ErrRefused.
func (m *Master) Plan(r masterapi.PlanRequest, by masterapi.By) (masterapi.Plan, error) {
	return m.updater.Plan(r, by)
}

// Revert begins an update to an application that has run before, with the errors of Update and history.ErrNotFound.
func (m *Master) Revert(r masterapi.RevertRequest, by masterapi.By) (masterapi.Reverted, error) {
	return m.updater.Revert(r, by)
}

// History is what has run, the newest first.
func (m *Master) History() []masterapi.HistoryEntry { return m.updater.History().List() }

// Details is an entry of the history, and what it has changed: history.ErrNotFound.
func (m *Master) Details(number int) (masterapi.HistoryDetails, error) {
	return m.updater.Details(number)
}

// UpdateState is the update that runs, or the last one. It waits for a step behind the first after ones until ctx ends.
func (m *Master) UpdateState(ctx context.Context, after int) masterapi.UpdateState {
	return m.updater.State(ctx, after)
}

// StartService starts a service that is stopped by hand, and of another one the replicas that do not run:
// masterapi.ErrBusy, masterapi.ErrEnding, or how the start went.
func (m *Master) StartService(ctx context.Context, name string) error {
	return m.updater.StartService(ctx, name)
}

// StopService stops a service until somebody starts it, or an update changes it. Errors are those of StartService.
func (m *Master) StopService(ctx context.Context, name string, by masterapi.By) error {
	return m.updater.StopService(ctx, name, by)
}

// RestartService ends a service and starts it anew. Errors are those of StartService.
func (m *Master) RestartService(ctx context.Context, name string) error {
	return m.updater.RestartService(ctx, name)
}
