'use strict';
// The gRPC service: one method.
//
//   accepted --> running --> answered
//       |           +--> ended                               the caller's deadline passed, or it went away
//       +--> refused, RESOURCE_EXHAUSTED                     too large, or more than server.concurrent.max at once
//
// A function's error is answered with UNKNOWN and a detail that starts with "Exception calling application: ", so that the
// manager can tell it from a broken runtime. JavaScript has one thread: a handler that computes without a pause holds up every
// other call of the instance, and its own end.

const asyncHooks = require('async_hooks');
const fs = require('fs');
const tls = require('tls');
const grpc = require('@grpc/grpc-js');
const FunctionMessage = require('./function_pb').baetyl.FunctionMessage;
const functions = require('./functions');
const legacy = require('./legacy');

// A detail travels in a header; callers accept few kilobytes there and break the call for more.
const DETAIL_MAX = 4000;

const encode = (message) => FunctionMessage.encode(message).finish();
const decode = (bytes) => FunctionMessage.decode(bytes);
const SERVICE = {
  Call: {
    path: '/baetyl.Function/Call',
    requestStream: false,
    responseStream: false,
    requestSerialize: encode,
    requestDeserialize: decode,
    responseSerialize: encode,
    responseDeserialize: decode,
  },
};

// Server serves the handlers, a Map by function name.
class Server {
  constructor(handlers, config, log) {
    this.handlers = handlers;
    this.config = config;
    this.log = log;
    this.running = new Set(); // of functions.Call
    this.streams = new Set(); // of the calls whose answers are not yet sent
    this.stopping = null; // once stop was called: what to do when streams is empty
    // Finds the call that an error belongs to when it is thrown outside of the handler, in a timer say. Node before 16 does not
    // keep it for rejected promises.
    this.current = legacy.major >= 16 ? new asyncHooks.AsyncLocalStorage() : null;
    this.server = new grpc.Server({
      'grpc.max_receive_message_length': config.messageLength,
      'grpc.max_send_message_length': config.messageLength,
    });
    this.server.addService(SERVICE, { Call: (rpc, callback) => this.call(rpc, callback) });
  }

  // listen opens the port; done(error) tells whether it could.
  listen(done) {
    const { address } = this.config;
    const opened = (e) => done(e && new Error(`server.address: listen on ${address}: ${e.message}; is it in use?`));
    let credentials = grpc.ServerCredentials.createInsecure();
    let pem;
    try {
      pem = this.certificates();
      if (pem && !legacy.needed) {
        credentials = grpc.ServerCredentials.createSsl(pem.ca, [{ private_key: pem.key, cert_chain: pem.cert }], Boolean(pem.ca));
      }
    } catch (e) {
      done(e);
      return;
    }
    const front = pem && legacy.needed;
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
    const message = rpc.request;
    const handler = this.handlers.get(message.FunctionName);
    if (this.stopping) {
      callback(status(grpc.status.UNAVAILABLE, 'the instance is stopping'));
      return;
    }
    this.track(rpc);
    if (!handler) {
      callback(status(grpc.status.UNKNOWN, 'Exception calling application: function not found'));
      return;
    }
    if (this.config.concurrent && this.running.size >= this.config.concurrent) {
      callback(status(grpc.status.RESOURCE_EXHAUSTED, 'Concurrent RPC limit exceeded!'));
      return;
    }
    const end = (error, reply) => {
      this.running.delete(call);
      callback(error, reply);
    };
    const call = new functions.Call(handler, message, this.log, (bytes) => {
      message.Payload = bytes;
      end(null, message);
    }, (text) => end(status(grpc.status.UNKNOWN, text)));
    rpc.on('cancelled', () => {
      call.end();
      this.running.delete(call);
    });
    this.running.add(call);
    if (this.current) this.current.run(call, () => call.run());
    else call.run();
  }

  // stray takes an error that user code has thrown outside of its handler.
  stray(error) {
    let call = null;
    if (this.current) call = this.current.getStore();
    else if (this.running.size === 1) call = this.running.values().next().value;
    if (call) call.fail(error);
    else this.log.error(`an error outside of every function: ${(error && error.stack) || error}`);
  }

  // track keeps the stream of a call until its answer is sent.
  track(rpc) {
    const { stream } = rpc.call; // not a documented property of grpc-js: look here when its version changes
    if (stream.destroyed) return;
    this.streams.add(stream);
    stream.once('close', () => {
      this.streams.delete(stream);
      // Not at once: Node tells it in the middle of sending, and what follows on the wire would be lost.
      if (this.stopping && !this.streams.size) setImmediate(this.stopping);
    });
  }

  // stop takes no new calls and gives the running ones so many milliseconds; then done().
  stop(milliseconds, done) {
    const force = setTimeout(() => {
      this.server.forceShutdown();
      done();
    }, milliseconds);
    // Not while a call is running: Node 16 and 18 close a connection without what is to be sent on it.
    this.stopping = () => this.server.tryShutdown(() => {
      clearTimeout(force);
      done();
    });
    if (!this.streams.size) this.stopping();
  }
}

function status(code, text) {
  const cut = text.length > DETAIL_MAX ? `${text.slice(0, DETAIL_MAX)}...` : text;
  return { code, details: Buffer.from(cut).toString() }; // there and back: half a surrogate pair would break the header
}

function read(key, path) {
  try {
    return fs.readFileSync(path);
  } catch (e) {
    throw new Error(`server.${key}: read ${path}: ${e.message}`);
  }
}

module.exports = { Server };
