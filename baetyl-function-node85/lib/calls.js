'use strict';
// What a call does, over gRPC or the pipe: it finds the handler, runs it, and says how it failed.
//
//   accepted --> running --> answered
//       |           +--> ended                               the caller's deadline passed, or it went away
//       +--> refused, RESOURCE_EXHAUSTED                     more than server.concurrent.max at once
//
// A function's error is answered with UNKNOWN and a detail that starts with "Exception calling application: ", so that
// the manager can tell it from a broken runtime. JavaScript has one thread: a handler that computes without a pause
// blocks all other calls of the instance, and the stop of the runtime.

const asyncHooks = require('async_hooks');
const functions = require('./functions');
const legacy = require('./legacy');

// code has the status codes of gRPC, which the pipe uses too.
const code = { OK: 0, UNKNOWN: 2, INVALID_ARGUMENT: 3, RESOURCE_EXHAUSTED: 8, UNAVAILABLE: 14 };

// A detail travels in a header of gRPC; callers accept few kilobytes there and break the call for more.
const DETAIL_MAX = 4000;

// Calls runs the handlers, a Map by function name; concurrent is the most calls at once, undefined without a limit.
class Calls {
  constructor(handlers, concurrent, log) {
    this.handlers = handlers;
    this.concurrent = concurrent;
    this.log = log;
    this.running = new Set(); // of functions.Call
    this.stopping = null; // once stop was called: what to do when nothing is running
    // Finds the call that an error belongs to when it is thrown outside of the handler, in a timer say. Node before 16
    // does not keep it for rejected promises.
    this.current = legacy.major >= 16 ? new asyncHooks.AsyncLocalStorage() : null;
  }

  // run begins a call. It ends with answer(message) or refuse(code, text), once, perhaps before run returns. run
  // returns a function that cancels the call: its caller is gone.
  run(message, answer, refuse) {
    const handler = this.handlers.get(message.FunctionName);
    if (this.stopping) {
      refuse(code.UNAVAILABLE, 'the instance is stopping');
      return () => {};
    }
    if (!handler) {
      refuse(code.UNKNOWN, 'Exception calling application: function not found');
      return () => {};
    }
    if (this.concurrent && this.running.size >= this.concurrent) {
      refuse(code.RESOURCE_EXHAUSTED, 'Concurrent RPC limit exceeded!');
      return () => {};
    }
    const call = new functions.Call(handler, message, this.log, (bytes) => {
      this.running.delete(call);
      message.Payload = bytes;
      answer(message);
      this.left();
    }, (text) => {
      this.running.delete(call);
      refuse(code.UNKNOWN, cut(text));
      this.left();
    });
    this.running.add(call);
    if (this.current) this.current.run(call, () => call.run());
    else call.run();
    return () => {
      call.end();
      this.running.delete(call);
      this.left();
    };
  }

  // stray takes an error that user code has thrown outside of its handler.
  stray(error) {
    let call = null;
    if (this.current) call = this.current.getStore();
    else if (this.running.size === 1) call = this.running.values().next().value;
    if (call) call.fail(error);
    else this.log.error(`an error outside of every function: ${(error && error.stack) || error}`);
  }

  // stop takes no new calls; done() is called when none runs.
  stop(done) {
    this.stopping = done;
    this.left();
  }

  left() {
    if (!this.stopping || this.running.size) return;
    const done = this.stopping;
    this.stopping = () => {};
    done();
  }
}

function cut(text) {
  const short = text.length > DETAIL_MAX ? `${text.slice(0, DETAIL_MAX)}...` : text;
  return Buffer.from(short).toString(); // there and back: half a surrogate pair would break the header
}

module.exports = { Calls, code };
