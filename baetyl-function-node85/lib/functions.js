'use strict';
// Loads the users' functions and calls them: payload -> event -> handler(event, context, callback) -> payload.
//
// Nothing here knows gRPC: a call is a message in and bytes out, or the text of an error.

const path = require('path');

// LoadError is one line: key path, function, cause. stack, if set, is where user code failed.
class LoadError extends Error {}

// load requires the handlers of the entries of `functions`; returns a Map by name. Throws LoadError.
function load(entries) {
  const handlers = new Map();
  let loading = null;
  const exited = () => { // process.exit() in user code, while it is loaded
    const where = `${loading.path}.handler: '${loading.handler}' of function '${loading.name}'`;
    process.stderr.write(`${where} ended the process while it was loaded\n`);
    process.exitCode = 1;
  };
  process.on('exit', exited);
  try {
    entries.forEach((entry) => {
      loading = entry;
      handlers.set(entry.name, loadOne(entry));
    });
  } finally {
    process.removeListener('exit', exited);
  }
  return handlers;
}

// loadOne finds the module with the longest path, so that a.b.c is c of a/b.js, and else b.c of a.js.
function loadOne(entry) {
  const where = `${entry.path}.handler: '${entry.handler}' of function '${entry.name}'`;
  const parts = entry.handler.split('.');
  for (let i = parts.length - 1; i > 0; i -= 1) {
    const file = resolve(path.resolve(entry.codedir, parts.slice(0, i).join('/')));
    if (file) {
      const handler = parts.slice(i).reduce((value, key) => (value ? value[key] : undefined), requireUser(file, where));
      if (typeof handler !== 'function') {
        throw new LoadError(`${where}: ${file} exports no function '${parts.slice(i).join('.')}'`);
      }
      return handler;
    }
  }
  throw new LoadError(`${where}: no module '${parts.slice(0, -1).join('/')}' in ${entry.codedir}`);
}

function resolve(file) {
  try {
    return require.resolve(file);
  } catch (e) {
    return null;
  }
}

function requireUser(file, where) {
  try {
    return require(file);
  } catch (e) {
    const error = new LoadError(`${where}: load ${file}: ${inOneLine(e)}`);
    error.userStack = e && e.stack;
    throw error;
  }
}

// inOneLine: "Cannot find module" lists the chain of modules in further lines.
function inOneLine(error) {
  return display(error).split('\n')[0];
}

// context returns the context of the call of a FunctionMessage.
function context(message) {
  return {
    messageQOS: message.QOS,
    messageTopic: message.Topic,
    messageTimestamp: Number(message.Timestamp), // a Long on the wire
    functionName: message.FunctionName,
    functionInvokeID: message.FunctionInvokeID,
    invokeid: message.FunctionInvokeID, // its name at CFC
  };
}

// event returns {} for an empty payload, the value of JSON text, else the Buffer.
function event(payload) {
  if (!payload || !payload.length) return {};
  const text = payload.toString('utf8');
  if (text.includes('\ufffd') && !Buffer.from(text).equals(payload)) return payload; // not UTF-8
  try {
    return JSON.parse(text);
  } catch (e) {
    return payload;
  }
}

// payload returns no bytes for undefined, null and '', bytes as they are, else JSON text. Throws if
// it has none.
function payload(result) {
  if (result === undefined || result === null || result === '') return Buffer.alloc(0);
  if (result instanceof Uint8Array) return Buffer.from(result.buffer, result.byteOffset, result.byteLength);
  const text = JSON.stringify(result);
  if (text === undefined) throw new TypeError(`a ${typeof result} is not JSON`);
  return Buffer.from(text);
}

// detail returns the documented detail of an error.
function detail(kind, error) {
  return `Exception calling application: ('${kind}', ${display(error)})`;
}

function display(error) {
  try {
    return String(error);
  } catch (e) { // without toString, or a failing one
    return Object.prototype.toString.call(error);
  }
}

// Call is one call of a handler. It answers once, with what comes first: the callback, the promise that the handler
// returned, or what it threw.
//
//   running --callback, promise--> answered
//      +-----throw, rejection----> failed
//      +-----end()---------------> ended: the caller did not wait
class Call {
  // answer(bytes) and fail(text) are called at most once, one of them.
  constructor(handler, message, log, answer, fail) {
    this.handler = handler;
    this.message = message;
    this.log = log;
    this.answer = answer;
    this.onFail = fail;
    this.open = true;
  }

  run() {
    let returned;
    try {
      returned = this.handler.call(undefined, event(this.message.Payload), context(this.message), (error, result) => {
        if (!this.open) this.late('the callback was called again or too late; its result is dropped');
        else if (error !== null && error !== undefined) this.fail(error);
        else this.succeed(result);
      });
    } catch (e) {
      this.fail(e);
      return;
    }
    if (!returned || typeof returned.then !== 'function') return;
    returned.then((result) => {
      // An async function without return that takes the callback means to call it, perhaps later.
      if (this.open && (result !== undefined || this.handler.length < 3)) this.succeed(result);
    }, (e) => this.fail(e));
  }

  succeed(result) {
    this.open = false;
    let bytes;
    try {
      bytes = payload(result);
    } catch (e) {
      this.report('cannot send its result', e);
      this.onFail(detail('[UserCodeReturn]', e));
      return;
    }
    this.answer(bytes);
  }

  // fail ends the call with an error of user code.
  fail(error) {
    this.report(this.open ? 'failed' : 'failed after its answer', error);
    if (!this.open) return;
    this.open = false;
    this.onFail(detail('[UserCodeInvoke]', error));
  }

  // end ends the call without an answer: its caller is gone.
  end() {
    if (this.open) this.late('ended: its caller did not wait');
    this.open = false;
  }

  late(text) {
    this.log.warn(`function ${this.message.FunctionName} [${this.message.FunctionInvokeID}]: ${text}`);
  }

  report(text, error) {
    const cause = (error && error.stack) || display(error);
    this.log.error(`function ${this.message.FunctionName} [${this.message.FunctionInvokeID}] ${text}: ${cause}`);
  }
}

module.exports = { load, LoadError, Call };
