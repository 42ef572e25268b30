'use strict';
// The functions that functiontest.Suite calls, and a few for JavaScript alone.

const beside = require('./beside');

exports.number = 5;
exports.echo = (event, context, callback) => callback(null, event);
exports.context = (event, context, callback) => callback(null, context);
exports.none = (event, context, callback) => callback();
exports.fail = (event, context, callback) => callback(new TypeError(event.text));
exports.strange = (event, context, callback) => {
  const circle = {};
  circle.circle = circle;
  callback(null, circle);
};
exports.sleep = (event, context, callback) => {
  if (event.text) console.log(event.text);
  setTimeout(() => callback(null, event), event.seconds * 1000);
};
exports.big = (event, context, callback) => callback(null, 'x'.repeat(event.length));
exports.env = (event, context, callback) => callback(null, process.env);
exports.pid = (event, context, callback) => callback(null, process.pid);
exports.log = (event, context, callback) => {
  console.log(event.text);
  callback(null, null);
};
exports.beside = (event, context, callback) => callback(null, beside.name);

// What a handler may return or pass; by the event's name.
const values = {
  zero: 0, no: false, list: [], object: {}, text: 'x', number: NaN, empty: '', nothing: undefined, null: null,
  buffer: Buffer.from([0, 255]), emptyBuffer: Buffer.alloc(0), bytes: new Uint8Array([1, 2]), function: () => {},
};
exports.value = (event, context, callback) => callback(null, values[event.name]);
exports.promise = (event) => Promise.resolve(values[event.name]);

exports.syncThrow = () => { throw new TypeError('x'); };
exports.throwText = () => { throw 'text'; }; // eslint-disable-line no-throw-literal
exports.throwNothing = () => { throw undefined; }; // eslint-disable-line no-throw-literal
exports.throwBare = () => { throw Object.create(null); };
exports.reject = () => Promise.reject(new TypeError('x'));
exports.asyncThrow = async () => { throw new TypeError('x'); };
exports.asyncReturn = async (event) => ({ got: await Promise.resolve(event) });
exports.asyncCallback = async (event, context, callback) => {
  setTimeout(() => callback(null, { late: event }), 20);
};
exports.thenable = () => ({ then: (resolve) => resolve('then') });
exports.errorText = (event, context, callback) => callback('no Error'); // eslint-disable-line
exports.twice = (event, context, callback) => {
  callback(null, 'first');
  callback(null, 'second');
  setImmediate(() => callback(new Error('third')));
};
exports.throwAfter = (event, context, callback) => {
  callback(null, 'first');
  throw new TypeError('after');
};
exports.never = () => {};
exports.timer = () => { setTimeout(() => { throw new TypeError('in a timer'); }, 1); };
exports.stray = () => { Promise.reject(new TypeError('stray')); };
exports.self = function self(event, context, callback) { callback(null, this === undefined); };
exports.nested = { a: { b: (event, context, callback) => callback(null, 'nested') } };

class Mute extends Error {
  get message() { throw new Error('mute'); }
}
exports.passed = (event, context, callback) => callback(new TypeError('x'));
exports.throwKeys = () => { throw { code: 5, why: 'x' }; }; // eslint-disable-line no-throw-literal
exports.throwProxy = () => { throw new Proxy({}, { get() { throw new Error('trap'); } }); };
exports.throwGetter = () => {
  throw new Mute();
};
exports.returnsValue = (event, context, callback) => ({ got: event }); // eslint-disable-line no-unused-vars
exports.returnsText = (event, context, callback) => 'text'; // eslint-disable-line no-unused-vars
exports.returnsShort = (event) => ({ got: event });
exports.returnsNull = () => null;
exports.returnsTimer = (event, context, callback) => setTimeout(() => callback(null, { late: event }), 5);
Object.assign(values, {
  infinite: { list: [1, -Infinity] }, map: new Map(), mapBelow: { a: [1, { b: new Map() }] }, set: { s: new Set([1]) },
  promise: { p: Promise.resolve(1) }, error: { e: new Mute() }, floats: { f: new Float64Array(2) },
  bytesBelow: { b: new Uint8Array(1) }, symbol: { s: Symbol('x') }, method: { f() {} }, badDate: { d: new Date(NaN) },
  expression: { r: /x/ }, generator: { g: (function* g() {}()) }, odd: { 'a b': { '"ü': new Set() } },
  arrayBuffer: { a: new ArrayBuffer(1) },
  date: { d: new Date(0) }, holes: [undefined, { a: undefined }, , ], // eslint-disable-line no-sparse-arrays
  class: new (class { constructor() { this.x = 1; } })(), toJSON: { j: { toJSON: (key) => `J of ${key}` } },
  boxed: [new Number(1), new String('x'), new Boolean(false)], nested: { b: Buffer.from('a') }, // eslint-disable-line
  proto: JSON.parse('{"__proto__":{"a":1}}'), surrogate: { '\ud800': 'a\udc00b😀' },
});
