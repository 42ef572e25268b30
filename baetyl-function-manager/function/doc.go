// Package function runs functions: it starts and stops the instances that the pool asks for, and calls them.
//
//	Call ─► pool ──Grant──► instance ──pipe or gRPC──► runtime
//	         │ Start, Stop                                ▲
//	         └──────► Launcher ── API of the master ──────┘ process or container
//
// It promises:
//   - An error of the user's code keeps the instance.
//   - An instance that ends or does not answer is replaced, and only that one.
//   - Run stops every instance that it started before it returns, or logs that some did not stop in time.
//
// It knows nothing of MQTT.
package function
