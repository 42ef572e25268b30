'use strict';
// The calls of an instance, over gRPC or the pipe: each waits for its turn, the handler runs, and the caller gets a
// result or the reason why there is none.
//
//   accepted --> waiting --> running --> answered
//       |           |           +------> ended                 the caller's deadline passed, or it went away
//       |           +-------> canceled                         the same, before it began
//       +--> refused, RESOURCE_EXHAUSTED                       more than may run and wait
//
// JavaScript has one thread: a handler that computes without a pause blocks all other calls of the instance, and the
// stop of the runtime.

const asyncHooks = require('async_hooks');
const p = require('./primordials');
const legacy = require('./legacy');
const { code, states } = require('./call');
const { full } = require('./errors');

const { WAITING, RUNNING, DONE } = states;

// Storage finds the call that code runs for, also in a timer or a promise. Node before 16 does not keep it for rejected
// promises.
const Storage = legacy.major >= 16 ? asyncHooks.AsyncLocalStorage : null;
const pinStorage = Storage && p.pinned(Storage.prototype);

const run = (call) => call.run();

// Calls runs the calls: limits.atOnce of them side by side, in the order in which they came; up to limits.queue more
// wait.
class Calls {
  constructor(limits, log) {
    this.handlers = null; // a Map by name, once they are loaded
    this.announced = limits.announced; // calls at once that the caller is asked for
    this.atOnce = limits.atOnce;
    this.queue = limits.queue;
    this.log = log;
    this.running = new p.SafeSet(); // of Call
    this.first = null; // of the calls that wait: a list, linked by next
    this.last = null;
    this.waiting = 0;
    this.pumping = false;
    this.planned = false;
    this.stopping = null; // once stop was called: what to do when nothing is running
    this.storage = Storage && pinStorage(new Storage());
    this.pump = () => this.begin();
  }

  // add takes a call. Its caller gets answer(call, payload) or refuse(call, code, text) once, perhaps before add
  // returns; neither, if the call is canceled while it runs. waits(call) and left(call) say when it is one of those
  // that wait.
  add(call) {
    if (this.stopping) {
      call.refuse(code.UNAVAILABLE, 'the instance is stopping');
    } else if (!this.handlers.has(call.message.FunctionName)) {
      call.refuse(code.UNKNOWN, 'Exception calling application: function not found');
    } else if (this.running.size + this.waiting >= this.atOnce + this.queue) {
      call.refuse(code.RESOURCE_EXHAUSTED, 'Concurrent RPC limit exceeded!');
    } else {
      call.state = WAITING;
      if (this.last) this.last.next = call;
      else this.first = call;
      call.previous = this.last;
      this.last = call;
      this.waiting += 1;
      call.caller.waits(call);
      this.begin();
    }
  }

  // begin runs what may run now. What a handler causes while it is running begins after it.
  begin() {
    this.planned = false;
    if (this.pumping) return;
    this.pumping = true;
    while (this.first && this.running.size < this.atOnce) {
      const call = this.first;
      this.remove(call);
      this.running.add(call);
      call.state = RUNNING;
      if (this.storage) this.storage.run(call, run, call);
      else call.run();
    }
    this.pumping = false;
  }

  // remove takes a call out of those that wait.
  remove(call) {
    if (call.previous) call.previous.next = call.next;
    else this.first = call.next;
    if (call.next) call.next.previous = call.previous;
    else this.last = call.previous;
    call.previous = null;
    call.next = null;
    this.waiting -= 1;
    call.caller.left(call);
  }

  // cancel: the caller of the call is gone. Its handler goes on; its result is dropped.
  cancel(call) {
    if (call.state === WAITING) {
      this.remove(call);
      call.refuse(code.CANCELLED, 'the call was canceled while it waited');
    } else if (call.state === RUNNING) {
      call.state = DONE;
      call.late('ended: its caller did not wait');
      this.done(call);
    }
  }

  // done: the call does not run any more. The next one begins when the code that runs now has ended, unless begin is
  // waiting for that anyway.
  done(call) {
    this.running.delete(call);
    if (this.first && !this.pumping && !this.planned) {
      this.planned = true;
      p.after(this.pump);
    }
    this.left();
  }

  // current returns the call that code runs for, null if that is not known.
  current() {
    if (this.storage) return this.storage.getStore() || null;
    return this.running.size === 1 ? p.eldest(this.running) : null;
  }

  // named puts the name of the call that code runs for before a line of its log.
  named(text) {
    const call = this.current();
    return call ? `${call.name()}: ${text}` : text;
  }

  // stray takes an error that user code has thrown outside of its handler.
  stray(error) {
    const call = this.current();
    if (call) call.fail(error);
    else this.log.error(`an error outside of every function: ${full(error)}`);
  }

  // stop takes no new calls; done() is called when none runs.
  stop(done) {
    this.stopping = done;
    while (this.first) {
      const call = this.first;
      this.remove(call);
      call.refuse(code.UNAVAILABLE, 'the instance is stopping');
    }
    this.left();
  }

  left() {
    if (!this.stopping || this.running.size) return;
    const done = this.stopping;
    this.stopping = () => {};
    done();
  }
}

p.rootless(Calls);

module.exports = { Calls };
