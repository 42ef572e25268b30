// Package rule runs one rule: the messages of a subscription go through a function, the results are published.
//
//	hub ─► OnMessage ─► lane ─► Call, retried ─► Publish ─► hub
//	          │ blocks when too many are under way            │
//	          └◄──────────── Ack of the source ◄── PUBACK ◄───┘
//
// It promises:
//   - A QoS 1 message is acknowledged only when its result, or its error, is acknowledged by the hub (or written, when the
//     result goes at QoS 0), or when there is none. So no kill of the manager, an instance or the hub loses a message.
//   - Each message ends: with a result, without one, or with an error message; never in a loop.
//   - Messages under way are bounded. What the hub sends beyond that waits there (QoS 1) or, when thousands wait here, is dropped
//     and counted (QoS 0).
//   - The results of a lane are published in the order in which the messages came, and unless an instance takes several calls at
//     once they are handled in that order too. All messages of a rule share one lane when the function has one instance at
//     most; else order.key makes lanes.
package rule
