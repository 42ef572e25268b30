'use strict';
// One call of a handler, and what its caller is told.
//
// A function's error is answered with UNKNOWN and a detail that starts with "Exception calling application: ", so that
// the manager can tell it from a broken runtime.

const p = require('./primordials');
const { event, payload, sayable } = require('./json');
const { display, full, place } = require('./errors');

// code has the status codes of gRPC, which the pipe uses too.
const code = {
  OK: 0, CANCELLED: 1, UNKNOWN: 2, INVALID_ARGUMENT: 3, RESOURCE_EXHAUSTED: 8, UNAVAILABLE: 14, UNAUTHENTICATED: 16,
};

// A detail travels in a header of gRPC; callers accept few kilobytes there and break the call for more.
const DETAIL_MAX = 4000;

// What a call is doing; done is one that is answered, or whose caller is gone.
const states = { WAITING: 0, RUNNING: 1, DONE: 2 };
const { DONE } = states;

// Call is one call of a handler. It is answered once, with what comes first: the callback, the value or the promise
// that the handler returned, or what it threw.
class Call {
  // number is for the caller.
  constructor(calls, caller, number, request) {
    this.calls = calls;
    this.caller = caller;
    this.number = number;
    this.message = request;
    this.state = DONE;
    this.next = null;
    this.previous = null;
    this.handler = null;
  }

  run() {
    this.handler = this.calls.handlers.get(this.message.FunctionName);
    const wait = this.handler.entry.watch ? this.handler.code.fresh(this.calls.log) : null;
    if (wait) p.then(wait, () => this.invoke());
    else this.invoke();
  }

  invoke() {
    const m = this.message;
    const { fn } = this.handler;
    let returned;
    try {
      const callback = (error, result) => this.callback(error, result);
      returned = p.apply(fn, undefined, [event(m.bytes, m.from, m.to), context(m), callback]);
    } catch (e) {
      this.fail(e);
      return;
    }
    if (returned === undefined || this.state === DONE) return;
    const short = fn.length < 3; // it does not name the callback
    if (this.follow(returned, short)) return;
    if (short || sayable(returned)) this.succeed(returned);
  }

  // follow waits for a promise, or whatever has then, and returns whether returned is one. One that ends with undefined
  // means that the handler will call back, if it names the callback.
  follow(returned, short) {
    if (typeof returned !== 'object' && typeof returned !== 'function') return false;
    const done = (result) => {
      if (this.state !== DONE && (result !== undefined || short)) this.succeed(result);
    };
    const failed = (e) => this.fail(e);
    try {
      p.then(returned, done, failed);
      return true;
    } catch (e) { // it is no promise of JavaScript
    }
    try {
      const then = returned === null ? undefined : returned.then;
      if (typeof then !== 'function' || then === p.ObjectPrototype.then) return false;
      p.apply(then, returned, [done, failed]);
    } catch (e) {
      this.fail(e);
    }
    return true;
  }

  callback(error, result) {
    if (this.state === DONE) this.late('the callback was called again or too late; its result is dropped');
    else if (error !== null && error !== undefined) this.fail(error, true);
    else this.succeed(result);
  }

  succeed(result) {
    let bytes;
    try {
      bytes = payload(result);
    } catch (e) {
      if (this.state === DONE) return; // a toJSON of the result has called back
      this.state = DONE;
      this.report('cannot send its result', e);
      this.refuse(code.UNKNOWN, detail('[UserCodeReturn]', e, ''));
      this.calls.done(this);
      return;
    }
    if (this.state === DONE) return;
    this.state = DONE;
    this.caller.answer(this, bytes);
    this.calls.done(this);
  }

  // fail ends the call with an error of user code: passed is one that it has given to the callback, as its answer. Of
  // others the detail says where they come from.
  fail(error, passed) {
    this.report(this.state === DONE ? 'failed after its answer' : 'failed', error);
    if (this.state === DONE) return;
    this.state = DONE;
    this.refuse(code.UNKNOWN, detail('[UserCodeInvoke]', error, passed ? '' : place(error, this.handler.code.root)));
    this.calls.done(this);
  }

  refuse(status, text) {
    this.state = DONE;
    this.caller.refuse(this, status, cut(text));
  }

  late(text) {
    this.calls.log.warn(`${this.name()}: ${text}`);
  }

  report(text, error) {
    this.calls.log.error(`${this.name()} ${text}: ${full(error)}`);
  }

  name() {
    return `function ${this.message.FunctionName} [${this.message.FunctionInvokeID}]`;
  }
}

p.rootless(Call);

// context returns the context of the call of a FunctionMessage.
function context(m) {
  return {
    messageQOS: m.QOS,
    messageTopic: m.Topic,
    messageTimestamp: m.Timestamp,
    functionName: m.FunctionName,
    functionInvokeID: m.FunctionInvokeID,
    invokeid: m.FunctionInvokeID, // its name at CFC
  };
}

// detail returns the documented detail of an error; where, if known, stands behind it.
function detail(kind, error, where) {
  return `Exception calling application: ('${kind}', ${display(error)})${where && ` at ${where}`}`;
}

// cut also replaces half a surrogate pair, which would break the header.
function cut(text) {
  const short = text.length > DETAIL_MAX ? `${p.slice(text, 0, DETAIL_MAX)}...` : text;
  const bytes = p.bytesFrom(short);
  return p.utf8(bytes, 0, bytes.length);
}

module.exports = { Call, code, states };
