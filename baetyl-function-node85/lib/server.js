'use strict';
// Calls over gRPC: one method.

const fs = require('fs');
const tls = require('tls');
const grpc = require('@grpc/grpc-js');
const crypto = require('crypto');
const message = require('./message');
const { Call, code } = require('./call');
const legacy = require('./legacy');

const same = (bytes) => bytes;
const method = (path, requestDeserialize) => ({
  path,
  requestStream: false,
  responseStream: false,
  requestSerialize: same,
  requestDeserialize,
  responseSerialize: same,
  responseDeserialize: same,
});
const CALL = { Call: method('/baetyl.Function/Call', (bytes) => message.decode(bytes, 0, bytes.length)) };
const HEALTH = { Check: method('/grpc.health.v1.Health/Check', same) };
const SECRET = 'baetyl-instance-secret'; // the metadata that carries it
const UNIMPLEMENTED = 12;

// Server serves calls.
class Server {
  constructor(calls, config) {
    this.calls = calls;
    this.config = config;
    this.streams = new Set(); // of the calls whose answers are not yet sent
    this.stopping = null; // once stop was called: what to do when streams is empty
    this.server = new grpc.Server({
      'grpc.max_receive_message_length': config.messageLength,
      'grpc.max_send_message_length': config.messageLength,
    });
    this.server.addService(CALL, { Call: (rpc, callback) => this.call(rpc, callback) });
    // The caller asks without the secret whether it is needed.
    const health = (rpc, callback) => callback(this.refusal(rpc) || { code: UNIMPLEMENTED, details: 'no health here' });
    this.server.addService(HEALTH, { Check: health });
  }

  // listen opens the port. It calls done(error), or done with null.
  listen(done) {
    const { address } = this.config;
    const opened = (e) => done(e && new Error(`server.address: listen on ${address}: ${e.message}; is it in use?`));
    let credentials = grpc.ServerCredentials.createInsecure();
    let pem;
    let front;
    try {
      pem = this.certificates();
      front = pem && legacy.needed && !address.startsWith('unix:');
      if (pem && !front) {
        const pair = { private_key: pem.key, cert_chain: pem.cert };
        credentials = grpc.ServerCredentials.createSsl(pem.ca, [pair], Boolean(pem.ca));
      }
    } catch (e) {
      done(e);
      return;
    }
    const inner = front ? legacy.privateAddress() : address;
    this.server.bindAsync(inner, credentials, (e) => {
      if (!e) this.server.start();
      if (e || !front) opened(e);
      else legacy.listen(address, pem, inner, opened);
    });
  }

  // certificates returns the contents of the files that server.key, cert and ca name; null without TLS.
  certificates() {
    const { key, cert, ca } = this.config;
    if (!cert) return null;
    const pem = { key: read('key', key), cert: read('cert', cert), ca: ca ? read('ca', ca) : null };
    try {
      tls.createSecureContext(pem);
    } catch (e) {
      throw new Error(`server.cert: use ${cert} with ${key}${ca ? ` and ${ca}` : ''}: ${e.message}`);
    }
    return pem;
  }

  call(rpc, callback) {
    const refusal = this.refusal(rpc);
    if (refusal) {
      callback(refusal);
      return;
    }
    this.track(rpc);
    const call = new Call(this.calls, {
      answer: (_, payload) => callback(null, message.answer(rpc.request, payload)),
      refuse: (_, status, details) => callback({ code: status, details }),
      waits: () => {},
      left: () => {},
    }, 0, rpc.request);
    rpc.on('cancelled', () => this.calls.cancel(call));
    this.calls.add(call);
  }

  // refusal returns the error of a caller that does not know the secret of the instance, null without a secret.
  refusal(rpc) {
    if (!this.config.secret) return null;
    const digest = (text) => crypto.createHash('sha256').update(text).digest();
    const [given] = rpc.metadata.get(SECRET);
    if (crypto.timingSafeEqual(digest(String(given)), digest(this.config.secret))) return null;
    return { code: code.UNAUTHENTICATED, details: `metadata ${SECRET} is not that of the instance` };
  }

  // track keeps the stream of a call until its answer is sent.
  track(rpc) {
    const { stream } = rpc.call; // not a documented property of grpc-js: check it when the version changes
    if (stream.destroyed) return;
    this.streams.add(stream);
    stream.once('close', () => {
      this.streams.delete(stream);
      // Not at once: Node emits close while it still sends, and the rest would be lost.
      if (this.stopping && !this.streams.size) setImmediate(this.stopping);
    });
  }

  // stop takes no new calls, waits at most so many milliseconds for the running ones, and calls done().
  stop(milliseconds, done) {
    const force = setTimeout(() => {
      this.server.forceShutdown();
      done();
    }, milliseconds);
    this.calls.stop(() => {});
    // Not while a call is running: Node 16 and 18 close a connection before they have sent all its answers.
    this.stopping = () => this.server.tryShutdown(() => {
      clearTimeout(force);
      done();
    });
    if (!this.streams.size) this.stopping();
  }
}

function read(key, path) {
  try {
    return fs.readFileSync(path);
  } catch (e) {
    throw new Error(`server.${key}: read ${path}: ${e.message}`);
  }
}

module.exports = { Server };
