'use strict';
// One connection of the pipe. All frames of one read are worked off in one go; an answer is written before the next
// handler begins.

const crypto = require('crypto');
const net = require('net');
const p = require('./primordials');
const message = require('./message');
const { Call, code } = require('./call');

const HELLO = Buffer.from('BAETYL-FUNCTION-PIPE/1\r\n');
const HELLO2 = Buffer.from('BAETYL-FUNCTION-PIPE/2\r\n');
const NONCE = 16;
const PROOF = 32;
const HEADER = 9;
const BODY_MAX = Math.pow(2, 30); // a longer body is no frame, whatever the limit of messages
const HELD_MAX = 4 << 20; // bytes that are held for the caller; with more, nothing is read
const HELLO_MS = 20000;

const out = p.newBytes(64 << 10); // of frames that go out: each is written before the next one
const { createHmac, randomBytes, timingSafeEqual, Hmac } = crypto;
const { update, digest } = Hmac.prototype;

class Connection {
  constructor(server, handle) {
    this.server = server;
    this.handle = handle;
    this.socket = null; // made when there is more to write than the handle takes
    this.limit = server.config.messageLength < BODY_MAX ? server.config.messageLength : BODY_MAX;
    this.read = this.hello; // takes bytes, returns how many it has used
    this.wanted = HELLO.length; // bytes that read needs
    this.skip = 0; // bytes of a message that is too large
    this.parts = []; // what has come and is not read yet
    this.size = 0; // of parts
    this.calls = new p.SafeMap(); // by number
    this.held = 0; // bytes of calls that wait, and of answers that the caller does not read
    this.unsent = 0; // of these, the answers
    this.holding = false;
    this.ended = false;
    this.timer = p.later(() => this.end(), HELLO_MS);
    if (handle.setNoDelay) handle.setNoDelay(true);
    handle.onread = p.sealed((a, b) => this.receive(a, b));
    handle.readStart();
  }

  // receive gets (length, Buffer) of Node before 12, (ArrayBuffer) of later ones. At the end, and after an error, there
  // are no bytes; a connection that is closed on one side is not used.
  receive(a, b) {
    const given = typeof a === 'number' ? b : a;
    if (given && !this.ended) this.take(typeof a === 'number' ? given : p.bytesFrom(given));
    else if (typeof a !== 'number' || a < 0) this.end();
  }

  take(chunk) {
    let bytes = chunk;
    if (this.size) {
      this.parts[this.parts.length] = chunk;
      this.size += chunk.length;
      if (this.size < this.wanted) return;
      bytes = p.joined(this.parts);
    }
    let used = 0;
    while (!this.ended && bytes.length - used >= this.wanted) used += this.read(bytes, used);
    this.parts = used < bytes.length ? [p.part(bytes, used)] : [];
    this.size = bytes.length - used;
  }

  hello(bytes, i) {
    const { calls, config } = this.server;
    const hello = config.secret ? HELLO2 : HELLO;
    if (p.compared(p.part(bytes, i, i + hello.length), hello) !== 0) {
      this.end();
    } else if (config.secret) {
      this.read = this.nonce;
      this.wanted = NONCE;
    } else {
      const numbers = p.newBytes(4);
      put(numbers, 0, calls.announced);
      this.write(p.joined([HELLO, numbers]));
      this.begin();
    }
    return hello.length;
  }

  nonce(bytes, i) {
    const { calls } = this.server;
    const theirs = p.part(bytes, i, i + NONCE);
    const mine = randomBytes(NONCE);
    const numbers = p.newBytes(8);
    put(numbers, 0, calls.announced);
    put(numbers, 4, calls.queue);
    this.write(p.joined([HELLO2, numbers, mine, proof(this.server.key, 'runtime', theirs, mine)]));
    const wanted = proof(this.server.key, 'caller', theirs, mine);
    this.wanted = PROOF;
    this.read = (given, at) => {
      if (timingSafeEqual(p.part(given, at, at + PROOF), wanted)) this.begin();
      else this.end();
      return PROOF;
    };
    return NONCE;
  }

  // begin: the hello has ended.
  begin() {
    this.server.strangers.delete(this);
    p.laterNot(this.timer);
    this.read = this.frame;
    this.wanted = HEADER;
  }

  // frame reads one frame at i, if all of it has come.
  frame(bytes, i) {
    if (this.skip) {
      const n = bytes.length - i < this.skip ? bytes.length - i : this.skip;
      this.skip -= n;
      this.wanted = this.skip ? 1 : HEADER;
      return n;
    }
    const length = number(bytes, i);
    const end = i + HEADER + length;
    if (length > BODY_MAX) {
      this.end();
    } else if (length > this.limit) {
      this.skip = length;
      this.wanted = 1;
      if (bytes[i + 8] === code.OK) this.tooLarge(number(bytes, i + 4), length); // else it cancels what was refused
    } else if (end > bytes.length) {
      this.wanted = HEADER + length;
      return 0;
    } else {
      this.wanted = HEADER;
      this.act(number(bytes, i + 4), bytes[i + 8], bytes, i + HEADER, end);
      return end - i;
    }
    return HEADER;
  }

  act(id, what, bytes, start, end) {
    const { calls } = this.server;
    if (what !== code.OK) {
      const call = this.calls.get(id);
      this.calls.delete(id);
      if (call) calls.cancel(call);
      return;
    }
    let request;
    try {
      request = message.decode(bytes, start, end);
    } catch (e) {
      this.send(id, code.INVALID_ARGUMENT, `read message: ${e.message}`);
      return;
    }
    const call = new Call(calls, this, id, request);
    this.calls.set(id, call);
    calls.add(call);
  }

  answer(call, payload) {
    this.calls.delete(call.number);
    const n = message.length(payload);
    const size = message.size(call.message, n);
    if (size > this.limit) {
      this.tooLarge(call.number, size);
      return;
    }
    const bytes = room(size, call.number, code.OK);
    message.write(call.message, payload, n, bytes, HEADER);
    this.write(bytes, HEADER + size);
  }

  refuse(call, status, text) {
    this.calls.delete(call.number);
    this.send(call.number, status, text);
  }

  tooLarge(id, length) {
    this.send(id, code.RESOURCE_EXHAUSTED, `message larger than max (${length} vs. ${this.limit})`);
  }

  // send sends a failure.
  send(id, status, text) {
    const n = p.byteLength(text);
    const bytes = room(n, id, status);
    p.utf8Write(bytes, text, HEADER, n);
    this.write(bytes, HEADER + n);
  }

  // write sends the first n of bytes, all by default. It asks the socket itself, without the layers between; what does
  // not fit into it goes the usual way.
  write(bytes, n = bytes.length) {
    if (this.ended) return;
    let done = 0;
    try {
      if (!this.unsent) done = p.writeSync(this.handle.fd, bytes, 0, n);
    } catch (e) {
      if (e.code === 'EBADF') this.server.lost(e);
      if (e.code !== 'EAGAIN') {
        p.soon(() => this.end()); // not now, in a call that is being answered
        return;
      }
    }
    if (done === n) return;
    const rest = p.newBytes(n - done);
    p.copyBytes(bytes, rest, 0, done, n);
    this.unsent += rest.length;
    this.hold(rest.length);
    this.stream().write(rest, () => {
      this.unsent -= rest.length;
      this.hold(-rest.length);
    });
  }

  // stream returns Node's socket for the handle. What is read goes on to come from the handle.
  stream() {
    if (this.socket) return this.socket;
    const { onread } = this.handle;
    this.socket = p.pinSocket(new net.Socket({ handle: this.handle, manualStart: true }));
    this.handle.onread = onread;
    const end = p.sealed(() => this.end());
    this.socket.on('error', end);
    this.socket.on('close', end);
    return this.socket;
  }

  waits(call) { this.hold(call.message.end - call.message.start); }

  left(call) { this.hold(call.message.start - call.message.end); }

  // hold counts bytes that are held for the caller. With too many, nothing is read; not by the socket's pause,
  // which Node ends by functions that user code can replace.
  hold(n) {
    this.held += n;
    if (this.ended || this.holding === this.held > HELD_MAX) return;
    this.holding = !this.holding;
    if (this.holding) this.handle.readStop();
    else this.handle.readStart();
  }

  // finish calls done() when all answers are on their way.
  finish(done) {
    if (this.unsent) this.socket.end(p.sealed(done));
    else done();
  }

  // end closes the connection; calls that run have no caller any more.
  end() {
    if (this.ended) return;
    this.ended = true;
    p.laterNot(this.timer);
    if (this.socket) this.socket.destroy();
    else this.handle.close();
    this.server.connections.delete(this);
    this.server.strangers.delete(this);
    this.calls.forEach((call) => this.server.calls.cancel(call));
    this.calls.clear();
    this.parts = [];
    this.size = 0;
  }
}

p.rootless(Connection);

// room returns bytes for a frame of n bytes, with its header.
function room(n, id, status) {
  const bytes = HEADER + n <= out.length ? out : p.newBytes(HEADER + n);
  put(bytes, 0, n);
  put(bytes, 4, id);
  bytes[8] = status;
  return bytes;
}

function put(bytes, i, n) {
  bytes[i] = n >>> 24;
  bytes[i + 1] = n >>> 16;
  bytes[i + 2] = n >>> 8;
  bytes[i + 3] = n;
}

function number(bytes, i) {
  return bytes[i] * 0x1000000 + (bytes[i + 1] << 16 | bytes[i + 2] << 8 | bytes[i + 3]);
}

// proof returns what only a side can say that knows the secret, for one connection.
function proof(key, side, theirs, mine) {
  const hmac = createHmac('sha256', key);
  p.apply(update, hmac, [p.joined([p.bytesFrom(side), theirs, mine])]);
  return p.apply(digest, hmac, []);
}

module.exports = { Connection };
