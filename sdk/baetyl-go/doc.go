// Package baetyl is the SDK of modules that are written in Go: a module is one function that gets a Context.
//
//	main ─► Run ─► Context ──NewHubClient──► mqtt.Dispatcher ──► hub
//	                  │ ├───LoadConfig─────► etc/baetyl/service.yml
//	                  │ └───StartInstance…─► Master ──► API of the master
//	                  └─ SIGTERM, SIGINT ──► WaitChan, Wait, Done
//
// It promises that a module whose function returns an error or panics ends with status 1 and a line on stderr that says
// why; that hub clients of a Context send what they hold, for some seconds at most, and disconnect before the module
// ends; and that a call that needs the master returns ErrNoMaster when there is none.
//
// It does not restart modules. Functions are in the package function below it.
package baetyl
