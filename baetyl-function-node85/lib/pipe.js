'use strict';
// Calls over the pipe: frames on a plain connection, for a function manager that asks for it. gRPC costs several times
// the work of a call, and time and memory at the start, and an instance of the function manager does not need what it
// adds.
//
//   caller --> hello --> frame: length, number of the call, code, body --> calls --> frame: the same number, code, body
//
// docs/function-pipe.md says what the frames mean.

const net = require('net');
const message = require('./message');
const { code } = require('./calls');

const HELLO = Buffer.from('BAETYL-FUNCTION-PIPE/1\r\n');
const AT_ONCE = 1; // user code may not expect several calls at once; the configuration of the manager can allow them
const HEADER = 9;
const BODY_MAX = Math.pow(2, 30); // a longer body is no frame, whatever the limit of messages
const HELLO_MS = 20000;

// Server serves calls.
class Server {
  constructor(calls, config) {
    this.calls = calls;
    this.config = config;
    this.connections = new Set();
    this.server = net.createServer((socket) => new Connection(this, socket));
  }

  // listen opens the port. It calls done(error), or done().
  listen(done) {
    const { address } = this.config;
    const colon = address.lastIndexOf(':');
    const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
    const failed = (e) => done(new Error(`server.address: listen on ${address}: ${e.message}; is it in use?`));
    this.server.once('error', failed);
    try {
      this.server.listen({ port: Number(address.slice(colon + 1)), host: host || undefined }, () => {
        this.server.removeListener('error', failed);
        done();
      });
    } catch (e) { // a port that is no port
      failed(e);
    }
  }

  // stop takes no new calls, waits at most so many milliseconds for the running ones, and calls done().
  stop(milliseconds, done) {
    this.server.close();
    let open = true;
    const end = () => {
      if (!open) return;
      open = false;
      this.connections.forEach((c) => c.end());
      done();
    };
    setTimeout(end, milliseconds);
    this.calls.stop(() => { // each answer has been handed to its connection
      let left = this.connections.size;
      if (!left) end();
      this.connections.forEach((c) => c.socket.end(() => {
        left -= 1;
        if (!left) end();
      }));
    });
  }
}

class Connection {
  constructor(server, socket) {
    this.server = server;
    this.socket = socket;
    this.limit = Math.min(server.config.messageLength, BODY_MAX);
    this.read = this.hello;
    this.wanted = HELLO.length; // bytes that read waits for
    this.skip = 0; // bytes to read over
    this.parts = []; // what has come and is not read yet
    this.size = 0; // of parts
    this.calls = new Map(); // by number: the function that cancels the call
    server.connections.add(this);
    socket.setNoDelay(true);
    socket.setTimeout(HELLO_MS, () => socket.destroy());
    socket.on('data', (bytes) => this.take(bytes));
    socket.on('end', () => this.end()); // a connection that is closed on one side is not used
    socket.on('error', () => this.end());
    socket.on('close', () => this.end());
  }

  // take calls read for each part that has come completely.
  take(bytes) {
    this.parts.push(bytes);
    this.size += bytes.length;
    while (this.size && (this.skip || this.size >= this.wanted)) {
      const all = this.parts.length === 1 ? this.parts[0] : Buffer.concat(this.parts, this.size);
      const n = this.skip ? Math.min(this.skip, this.size) : this.wanted;
      this.parts = all.length > n ? [all.slice(n)] : [];
      this.size -= n;
      if (this.skip) this.skip -= n;
      else this.read(all.slice(0, n));
    }
  }

  hello(bytes) {
    if (!bytes.equals(HELLO)) {
      this.end();
      return;
    }
    this.socket.setTimeout(0);
    const number = Buffer.alloc(4);
    number.writeUInt32BE(AT_ONCE, 0);
    this.socket.write(Buffer.concat([HELLO, number]));
    this.read = this.header;
    this.wanted = HEADER;
  }

  header(bytes) {
    const length = bytes.readUInt32BE(0);
    const number = bytes.readUInt32BE(4);
    const what = bytes[8];
    if (length > BODY_MAX) {
      this.end();
    } else if (length > this.limit) {
      this.skip = length;
      if (what !== code.OK) return; // it cancels a call that was refused
      this.refuse(number, code.RESOURCE_EXHAUSTED, `message larger than max (${length} vs. ${this.limit})`);
    } else if (!length) {
      this.frame(number, what, Buffer.alloc(0));
    } else {
      this.wanted = length;
      this.read = (body) => {
        this.wanted = HEADER;
        this.read = this.header;
        this.frame(number, what, body);
      };
    }
  }

  frame(number, what, body) {
    if (what !== code.OK) {
      const cancel = this.calls.get(number);
      if (cancel) cancel();
      return;
    }
    let request;
    try {
      request = message.decode(body);
    } catch (e) {
      this.refuse(number, code.INVALID_ARGUMENT, `read message: ${e.message}`);
      return;
    }
    let answered = false;
    const cancel = this.server.calls.run(request, (reply) => {
      answered = true;
      this.calls.delete(number);
      const bytes = message.encode(reply);
      if (bytes.length > this.limit) {
        this.refuse(number, code.RESOURCE_EXHAUSTED, `message larger than max (${bytes.length} vs. ${this.limit})`);
      } else {
        this.send(number, code.OK, bytes);
      }
    }, (status, text) => {
      answered = true;
      this.calls.delete(number);
      this.refuse(number, status, text);
    });
    if (!answered) this.calls.set(number, cancel);
  }

  refuse(number, status, text) {
    this.send(number, status, Buffer.from(text));
  }

  send(number, status, body) {
    if (this.socket.destroyed) return;
    const frame = Buffer.allocUnsafe(HEADER + body.length);
    frame.writeUInt32BE(body.length, 0);
    frame.writeUInt32BE(number, 4);
    frame[8] = status;
    frame.set(body, HEADER);
    this.socket.write(frame);
  }

  // end closes the connection; calls that run have no caller any more.
  end() {
    this.socket.destroy();
    this.server.connections.delete(this);
    this.calls.forEach((cancel) => cancel());
    this.calls.clear();
    this.parts = [];
    this.size = 0;
  }
}

module.exports = { Server };
