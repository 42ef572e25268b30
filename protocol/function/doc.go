// Package function is what the function manager and a function runtime must agree on: the service Function with its one
// method Call, the message that goes in and comes back, and the pipe, a faster way for the same calls.
//
//	function.proto ──make proto──► function.pb.go, function_grpc.pb.go   (this package)
//	                          ├──► baetyl-function-python/lib/…          (the Python runtimes' stub)
//	                          └──► baetyl-function-node85/lib/…          (the Node runtime's stub)
//
// It promises the wire format of Baetyl 0.1: names, numbers and types of the fields never change; a runtime that
// knows gRPC alone is served by gRPC. It knows nothing of limits, pools or configuration; those are the SDK's and the
// manager's.
package function
