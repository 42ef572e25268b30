'use strict';
// What the runtime needs of JavaScript and Node, taken before code of users is loaded. User code may replace any of it,
// globals and methods alike, for itself; the runtime goes on with the originals.
//
// What runs after the functions are loaded takes no method of a value that user code can reach (list.push, text.slice),
// no iterator (for-of, spread, destructuring of lists) and no global: it takes them from here.

const events = require('events');
const fs = require('fs');
const net = require('net');
const util = require('util');

const { apply, getPrototypeOf, ownKeys, getOwnPropertyDescriptor, defineProperty } = Reflect;

// uncurried(f)(self, ...args) is f.call(self, ...args), without a look at Function.prototype.
const { bind, call, apply: applyMethod } = Function.prototype;
const uncurried = bind.bind(call);

const TypedArray = getPrototypeOf(Uint8Array);

// copied returns a class with the methods of base as its own. base is a class of JavaScript.
function copied(base) {
  class Copy extends base {
    constructor() { super(); } // eslint-disable-line no-useless-constructor -- the default one iterates
  }
  ownKeys(base.prototype).forEach((key) => {
    if (key !== 'constructor') defineProperty(Copy.prototype, key, getOwnPropertyDescriptor(base.prototype, key));
  });
  Object.setPrototypeOf(Copy.prototype, null);
  return Copy;
}

// table collects what an object of this prototype inherits, from those above too.
function table(prototype) {
  const found = Object.create(null);
  for (let p = prototype; p && p !== Object.prototype; p = getPrototypeOf(p)) {
    ownKeys(p).forEach((key) => {
      if (key !== 'constructor' && !(key in found)) found[key] = getOwnPropertyDescriptor(p, key);
    });
  }
  return found;
}

// pinned returns a function that gives an object of this prototype the methods of today as its own, and returns it.
// Node itself looks them up there while it reads a socket.
function pinned(prototype) {
  const methods = table(prototype);
  const keys = ownKeys(methods);
  return (object) => {
    for (let i = 0; i < keys.length; i += 1) {
      if (!getOwnPropertyDescriptor(object, keys[i])) defineProperty(object, keys[i], methods[keys[i]]);
    }
    return object;
  };
}

// wait does nothing for some milliseconds. Nothing else runs meanwhile.
const lock = new Int32Array(new SharedArrayBuffer(4));
const { wait } = Atomics;

// joined returns parts in one; Buffer.concat takes what user code can replace.
const copyBytes = uncurried(Buffer.prototype.copy);
const newBytes = Buffer.allocUnsafeSlow;
function joined(parts) {
  let size = 0;
  for (let i = 0; i < parts.length; i += 1) size += parts[i].length;
  const all = newBytes(size);
  for (let i = 0, at = 0; i < parts.length; at += parts[i].length, i += 1) copyBytes(parts[i], all, at);
  return all;
}

// eldest returns what has been in a SafeSet for longest, undefined of an empty one.
function eldest(set) {
  let found;
  set.forEach((value) => { found = found === undefined ? value : found; });
  return found;
}

// rootless takes Object.prototype away from the objects of a class: a setter that user code defines there would get
// what is written to them.
const rootless = (Class) => Object.setPrototypeOf(Class.prototype, null);

// sealed gives a function the methods that Node calls it with. It returns the function.
function sealed(f) {
  defineProperty(f, 'apply', { __proto__: null, value: applyMethod });
  defineProperty(f, 'call', { __proto__: null, value: call });
  return f;
}

// Node takes the pop of a list of its own while an AsyncLocalStorage is used.
const { noDeprecation } = process;
try {
  process.noDeprecation = true; // there is no other way to the list
  const { execution_async_resources: list } = process.binding('async_wrap'); // eslint-disable-line camelcase
  if (list) defineProperty(list, 'pop', { value: Array.prototype.pop });
} catch (e) { // another Node, which has no such list
} finally {
  process.noDeprecation = noDeprecation;
}

// settled is a promise whose then can't be replaced; after(f) calls f when the code that runs now has ended.
const settled = Promise.resolve();
defineProperty(settled, 'constructor', { value: undefined });
const then = uncurried(Promise.prototype.then);

module.exports = {
  apply,
  getPrototypeOf,
  getOwnPropertyDescriptor,
  defineProperty,
  uncurried,
  pinned,
  SafeMap: copied(Map),
  SafeSet: copied(Set),
  eldest,
  sealed,
  rootless,
  pinSocket: pinned(net.Socket.prototype),
  pinEmitter: pinned(events.prototype),

  ObjectPrototype: Object.prototype,
  objectKeys: Object.keys,
  hasOwn: uncurried(Object.prototype.hasOwnProperty),
  objectText: uncurried(Object.prototype.toString),
  isArray: Array.isArray,
  ArrayPrototype: Array.prototype,
  isFinite: Number.isFinite,
  text: String, // of any value
  numberText: uncurried(Number.prototype.toString),
  numberOf: uncurried(Number.prototype.valueOf),
  textOf: uncurried(String.prototype.valueOf),
  truthOf: uncurried(Boolean.prototype.valueOf),
  indexOf: uncurried(String.prototype.indexOf),
  endsWith: uncurried(String.prototype.endsWith),
  sort: uncurried(Array.prototype.sort),
  startsWith: uncurried(String.prototype.startsWith),
  slice: uncurried(String.prototype.slice),
  charCode: uncurried(String.prototype.charCodeAt),
  split: uncurried(String.prototype.split),
  matched: uncurried(RegExp.prototype.exec),
  parse: JSON.parse,
  stringify: JSON.stringify,
  then: (promise, done, failed) => then(promise, done, failed),
  after: (f) => then(settled, f),
  later: setTimeout,
  laterNot: clearTimeout,
  soon: setImmediate,
  wait: (milliseconds) => wait(lock, 0, 0, milliseconds),
  format: util.format,
  inspect: util.inspect,

  Error,
  ErrorPrototype: Error.prototype,
  errorText: uncurried(Error.prototype.toString),
  TypedArray,
  Uint8Array,
  typeOfBytes: uncurried(getOwnPropertyDescriptor(TypedArray.prototype, Symbol.toStringTag).get), // 'Uint8Array'
  bytesBuffer: uncurried(getOwnPropertyDescriptor(TypedArray.prototype, 'buffer').get),
  bytesOffset: uncurried(getOwnPropertyDescriptor(TypedArray.prototype, 'byteOffset').get),
  bytesLength: uncurried(getOwnPropertyDescriptor(TypedArray.prototype, 'length').get),
  bytesFrom: Buffer.from, // of a text, or of an ArrayBuffer
  newBytes, // of its own: no other Buffer shares its memory
  byteLength: Buffer.byteLength,
  joined,
  compared: Buffer.compare,
  copyBytes,
  part: uncurried(Buffer.prototype.slice),
  utf8: uncurried(Buffer.prototype.utf8Slice),
  utf8Write: uncurried(Buffer.prototype.utf8Write),

  date: Date,
  dateText: uncurried(Date.prototype.toISOString),
  dateValue: uncurried(Date.prototype.getTime),

  writeSync: fs.writeSync,
};
