// Package baetyl is the SDK of modules that are written in Go: a module is one function that gets a Context.
//
//	main ─► Run ─► Context ──NewHubClient──► mqtt.Dispatcher ──► hub
//	                  │ ├───LoadConfig─────► etc/baetyl/service.yml
//	                  │ └───StartInstance…─► Master ──► API of the master
//	                  └─ SIGTERM, SIGINT ──► WaitChan, Wait, Done
//
// It promises that a module that ends with an error or a panic ends with status 1 and says why on stderr, that hub
// clients of a Context have sent what they can and said goodbye before the module ends, and that a call that needs the
// master says so when there is none.
//
// It does not restart anything and knows no module. Functions are in the package function below it.
package baetyl
