// Package function runs functions: it keeps the instances that the pool wants and calls them.
//
//	Call ─► pool ──Grant──► instance ──gRPC──► runtime
//	         │ Start, Stop                        ▲
//	         └──────► Launcher ── API of master ──┘ process or container
//
// It promises that a failure of the user's code keeps the instance, that an instance that ends or does not answer is
// replaced, and only that one, and that every instance that it started is stopped when it ends, within bounds. It
// knows nothing of MQTT.
package function
