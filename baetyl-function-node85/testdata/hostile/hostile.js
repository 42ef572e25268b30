'use strict';
// Handlers that replace, remove or close what a runtime may live on. Each of them answers; then the next call, of
// another function, has to be right.

const events = require('events');
const fs = require('fs');
const Module = require('module');
const net = require('net');
const stream = require('stream');
const util = require('util');

const nothing = () => {};
const fail = () => { throw new Error('replaced'); };
const forever = () => { for (;;); };
// all replaces each method of object.
const { getOwnPropertyNames, getOwnPropertyDescriptor } = Object;
const all = (object, f) => {
  const names = getOwnPropertyNames(object);
  for (let i = 0; i < names.length; i += 1) {
    const found = getOwnPropertyDescriptor(object, names[i]);
    if (typeof found.value === 'function' && found.writable && names[i] !== 'constructor') {
      try { object[names[i]] = f; } catch (e) { /* this one stays */ }
    }
  }
};

const breakers = {
  stringify: () => { JSON.stringify = () => 'x'; JSON.parse = fail; },
  toJSON: () => {
    Object.prototype.toJSON = () => 'x';
    Array.prototype.toJSON = () => 'x';
    Date.prototype.toJSON = () => 'x';
    String.prototype.toJSON = () => 'x';
  },
  prepareStackTrace: () => { Error.prepareStackTrace = forever; },
  prepareThrows: () => { Error.prepareStackTrace = fail; },
  errorText: () => { Error.prototype.toString = fail; Error.stackTraceLimit = 0; },
  timers: () => { all(require('timers'), nothing); global.setImmediate = nothing; global.setTimeout = forever; },
  nextTick: () => { process.nextTick = nothing; },
  microtask: () => { global.queueMicrotask = fail; },
  then: () => { Promise.prototype.then = forever; Promise.prototype.catch = forever; Promise.resolve = fail; },
  promise: () => { global.Promise = fail; },
  objectThen: () => {
    Object.defineProperty(Object.prototype, 'then', { value: nothing, configurable: true, writable: true });
  },
  buffer: () => { all(Buffer, fail); global.Buffer = null; },
  bufferMethods: () => {
    ['toString', 'slice', 'write', 'copy', 'equals', 'fill'].forEach((n) => { Buffer.prototype[n] = fail; });
  },
  typedArray: () => { all(Object.getPrototypeOf(Uint8Array.prototype), fail); },
  array: () => { all(Array.prototype, fail); all(Array, fail); },
  iterator: () => {
    Array.prototype[Symbol.iterator] = fail;
    Map.prototype[Symbol.iterator] = fail;
    Object.getPrototypeOf([][Symbol.iterator] === fail ? new Map().entries() : []).next = fail;
  },
  map: () => { all(Map.prototype, fail); all(Set.prototype, fail); all(WeakMap.prototype, fail); global.Map = fail; },
  string: () => { all(String.prototype, fail); global.String = fail; },
  number: () => { all(Number.prototype, fail); all(Number, fail); global.isNaN = fail; },
  regexp: () => { all(RegExp.prototype, fail); RegExp.prototype.exec = fail; },
  math: () => { all(Math, fail); },
  date: () => { all(Date.prototype, fail); global.Date = fail; },
  object: () => { all(Object, fail); },
  reflect: () => { all(Reflect, fail); },
  objectMethods: () => { ['hasOwnProperty', 'toString', 'valueOf'].forEach((n) => { Object.prototype[n] = fail; }); },
  pollution: () => {
    ['code', 'next', 'skip', 'watch', 'entry'].forEach((n) => { Object.prototype[n] = 1; });
  },
  functions: () => { ['call', 'bind', 'toString'].forEach((n) => { Function.prototype[n] = fail; }); },
  apply: () => { Function.prototype.apply = fail; },
  symbol: () => { Object.defineProperty(Uint8Array, Symbol.hasInstance, { value: fail }); global.Symbol = fail; },
  emitter: () => { all(events.prototype, nothing); },
  emitterThrows: () => { all(events.prototype, fail); },
  socket: () => { all(net.Socket.prototype, nothing); },
  streams: () => { all(stream.Readable.prototype, nothing); all(stream.Writable.prototype, nothing); },
  fs: () => { all(fs, fail); },
  stdout: () => {
    process.stdout.write = fail;
    process.stderr.write = fail;
    Object.defineProperty(process, 'stderr', { value: null });
  },
  stdoutEnded: () => { process.stdout.destroy(); process.stderr.destroy(); },
  console: () => { all(console, fail); global.console = null; },
  util: () => { all(util, fail); },
  processEvents: () => { process.removeAllListeners(); },
  processEach: () => {
    ['SIGTERM', 'SIGINT', 'uncaughtException', 'unhandledRejection', 'exit'].forEach((name) => {
      process.removeAllListeners(name);
      process.listeners(name).forEach((f) => process.removeListener(name, f));
    });
  },
  processEmit: () => { process.emit = nothing; process.on = nothing; },
  exit: () => {
    process.exit = nothing;
    process.reallyExit = nothing;
    process.kill = nothing;
    process.abort = nothing;
  },
  env: () => { process.env = {}; process.argv = []; process.exitCode = 7; },
  place: () => { process.chdir('/'); process.umask(0o777); process.title = 'x'; },
  cache: () => {
    Object.keys(require.cache).forEach((name) => { delete require.cache[name]; });
    Module.prototype.require = fail;
    Module._load = fail;
  },
  storage: () => {
    const { AsyncLocalStorage, AsyncResource } = require('async_hooks');
    if (AsyncLocalStorage) all(AsyncLocalStorage.prototype, fail);
    all(AsyncResource.prototype, fail);
  },
  crypto: () => { all(require('crypto'), fail); },
  setters: () => {
    const names = ['number', 'state', 'next', 'bytes', 'start', 'caller', 'handler', 'fn', 'held', 'path', 'key'];
    names.forEach((name) => {
      Object.defineProperty(Object.prototype, name, { set: fail, configurable: true });
    });
  },
  frozen: () => { [Object, Array, Function, Promise, Buffer, Map].forEach((c) => Object.freeze(c.prototype)); },
  parts: () => {
    Object.keys(require.cache).filter((name) => /\/lib\/[^/]*\.js$/.test(name)).forEach((name) => {
      all(require.cache[name].exports, fail);
    });
    all(module.parent.exports, fail);
  },
  arguments: () => {},
};

Object.keys(breakers).forEach((name) => {
  exports[name] = (event, context, callback) => {
    breakers[name](event, context);
    callback(null, 'broken');
  };
});
// What it is given is its own: the next call has its own.
exports.arguments = (event, context, callback) => {
  Object.keys(context).forEach((key) => { context[key] = fail; });
  callback(null, 'broken');
  Object.freeze(callback);
};
exports.bytes = (event, context, callback) => {
  if (event.buffer) new Uint8Array(event.buffer).fill(0x41);
  callback(null, 'broken');
};
exports.names = Object.keys(exports);
exports.breakers = breakers;
