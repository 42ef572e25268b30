// Package bridge runs one rule: messages go from the hub to a remote, and from the remote to the hub.
//
//	hub client ──OnMessage──► direction up ──► topic ──PublishAsync──► remote client ──► remote
//	    ▲                        │ blocks when the queue is full        │
//	    └───── Ack ◄─────────────┴◄─────────────────── PUBACK ◄─────────┘
//
//	direction down is the same, the other way
//
// It promises:
//   - A QoS 1 message is acknowledged to where it came from only after the other side has acknowledged it, or after
//     it was kept as a dead letter. So no kill, restart or outage of anything loses one; it comes again if it was on
//     its way.
//   - Messages of a direction keep their order.
//   - Nothing waits in a read loop: a side that does not answer holds up its own direction, and neither the
//     other one nor a connection.
//   - Memory is bounded: what does not fit waits at the source (QoS 1), or is dropped and counted (QoS 0).
//   - A message that the other side never takes is kept as a dead letter with the reason and counted; one
//     that can't be kept is tried again.
//
// It knows nothing of other rules and stores no messages of its own.
package bridge
