// Package rule runs one rule: it sends the messages of a subscription through a function and publishes the results.
//
//	hub ─► OnMessage ─► keyed queue ─► Call, retried ─► Publish ─► hub
//	          │ blocks while messageLimit are handled               │
//	          └◄───────────── Ack of the source ◄─────── PUBACK ◄───┘
//
// It promises:
//   - A QoS 1 message is acknowledged only when its result, or its error message, is acknowledged by the hub (or
//     written, when the result goes at QoS 0), or when there is no result. So no kill of the manager, an instance or
//     the hub loses a message.
//   - Each message ends: with a result, without one, or with an error message; never in a loop.
//   - The number of messages in flight is bounded. What the hub sends beyond that waits in the hub (QoS 1), or waits
//     here and is dropped and counted when thousands wait (QoS 0).
//   - The results of a queue are published in the order in which the messages came. Unless an instance takes several
//     calls at once, the messages are handled in that order too. All messages of a rule share one queue when the
//     function has one instance at most; otherwise order.key gives each key its queue, and without order.key there is
//     no order.
package rule
