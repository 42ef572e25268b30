// Package mqtt is the MQTT 3.1.1 client of every module: Client is one connection, Dispatcher keeps one up for as
// long as the module runs. The bytes are gomqtt's.
//
//	Publish ─► queue (buffersize) ─► in flight (maxinflight) ─► writer ─► Client ─► hub
//	             blocks when full      resent with DUP after a              │
//	                                   reconnect, until acknowledged        │
//	OnMessage ◄─ one at a time, in order ◄─ inbox ◄─────────── reader ◄─────┘
//	   └─ Message.Ack ─► writer, if the connection is still the one on which the message came
//
// It promises:
//   - A QoS 1 or 2 message that Publish accepted is sent until the peer acknowledges it, as long as the process
//     lives (WithPoisonLimit is the exception). The order of messages of one caller is kept.
//   - Nothing that a handler does holds up the connection: the handler has its own goroutine. Pings and
//     acknowledgements are served while it takes minutes, and it may publish, acknowledge and close.
//   - A PUBACK goes only to the connection on which the message came; QoS 2 ids live as long as the peer's session.
//   - No wait without an end: dial, CONNACK, SUBACK, PINGRESP and writes are bounded, Close interrupts all of them. A
//     slow line is no reason: for SUBACK and writes the time starts again with what comes and what is taken.
//   - Memory is bounded: by buffersize and maxinflight outward, by receiveLimit and receiveBytes inward.
//
// It does not know what a message means, writes nothing to disk, and never acknowledges in place of a handler.
package mqtt
