'use strict';
// Payloads and what they mean: bytes -> event, result -> bytes.
//
// What is published is JSON that says what was returned. JSON.stringify makes {} of a Map or a Promise and null of NaN,
// and calls every toJSON that user code has put anywhere; so here is our own, which names what JSON can't say.

const p = require('./primordials');
const { same, NONE } = require('./message');

const DEEPEST = 500; // levels of a payload; a deeper one is bytes, as in the other runtimes
const DatePrototype = Date.prototype;
const NumberPrototype = Number.prototype;
const StringPrototype = String.prototype;
const BooleanPrototype = Boolean.prototype;
const escapes = JSON.stringify('\ud800') === '"\\ud800"';
const LARGE = /\d[eE]\+?\d|\d{309}/; // only a text with one of these can have a number that no double holds
const NESTED = /^(?:[^[{]*[[{]){501}/; // only a text with so many brackets can be deeper

// event returns {} for an empty payload, the value of JSON text, else a Buffer of its own.
function event(bytes, start, end) {
  if (start === end) return {};
  const text = p.utf8(bytes, start, end);
  if (p.indexOf(text, '\ufffd') < 0 || same(text, bytes, start, end)) {
    try {
      const value = p.parse(text);
      const plain = !p.matched(LARGE, text) && (text.length <= 2 * DEEPEST || !p.matched(NESTED, text));
      if (plain || sound(value, 0)) return value;
    } catch (e) { // it is no JSON
    }
  }
  const own = p.newBytes(end - start);
  p.copyBytes(bytes, own, 0, start, end);
  return own;
}

// sound tells whether value has neither an infinite number nor too many levels.
function sound(value, level) {
  if (typeof value === 'number') return p.isFinite(value);
  if (typeof value !== 'object' || value === null) return true;
  if (level === DEEPEST) return false;
  const list = p.isArray(value);
  const keys = list ? value : p.objectKeys(value);
  for (let i = 0; i < keys.length; i += 1) {
    if (!sound(list ? value[i] : value[keys[i]], level + 1)) return false;
  }
  return true;
}

// Unsayable says what JSON can't say, and where it stands in the result. Its name is that of JSON.stringify's error.
class Unsayable extends TypeError {
  constructor(text) { super(text); } // eslint-disable-line no-useless-constructor -- the default one iterates
}
Object.defineProperty(Unsayable.prototype, 'name', { value: 'TypeError' });

// Classes whose objects JSON.stringify turns into {}, or into something else that does not say what they are, by their
// prototypes. Those of Intl, WebAssembly and the web are no globals, or are loaded by asking for them.
const opaque = new p.SafeMap();
const known = ['Object', 'Function', 'Array', 'Date', 'String', 'Number', 'Boolean', 'BigInt', 'Buffer', 'URL'];
Object.getOwnPropertyNames(global).forEach((name) => {
  const { value } = Object.getOwnPropertyDescriptor(global, name);
  if (typeof value !== 'function' || known.includes(name) || typeof value.prototype !== 'object') return;
  if (!('toJSON' in value.prototype)) opaque.set(value.prototype, name);
});
const iterator = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
opaque.set(iterator, 'iterator');
opaque.set(Object.getPrototypeOf(Object.getPrototypeOf((function* g() {})())), 'generator');
const urls = require('url');

if (urls.URLSearchParams) opaque.set(urls.URLSearchParams.prototype, 'URLSearchParams');

// sayable tells whether a value that a handler returns is meant as a result: text, a number, bytes, a list, an object
// that is no instance of a class. A timer or a socket, which a short function returns as it were by mistake, is not.
function sayable(value) {
  if (typeof value !== 'object' || value === null) return typeof value !== 'function' && typeof value !== 'symbol';
  if (p.isArray(value) || p.typeOfBytes(value) === 'Uint8Array') return true;
  const prototype = p.getPrototypeOf(value);
  return prototype === p.ObjectPrototype || prototype === null;
}

// payload returns no bytes for undefined, null and '', bytes as they are, else JSON text. It throws what a getter or a
// toJSON of the result throws, and Unsayable.
function payload(result) {
  if (result === undefined || result === null || result === '') return NONE;
  if (typeof result === 'object' && p.typeOfBytes(result) === 'Uint8Array') {
    return p.bytesFrom(p.bytesBuffer(result), p.bytesOffset(result), p.bytesLength(result));
  }
  const text = say(result, '', null);
  if (text === undefined) throw new Unsayable(`${aTypeOf(result)} is not JSON`);
  return text;
}

// say returns value as JSON, undefined for undefined. above are the objects that it stands in, {key, value, above}.
function say(value, key, above) {
  switch (typeof value) {
    case 'string':
      return quoted(value);
    case 'number':
      if (!p.isFinite(value)) throw refused(p.text(value), key, above);
      return value === 0 ? '0' : `${value}`;
    case 'boolean':
      return value ? 'true' : 'false';
    case 'undefined':
      return undefined;
    case 'object':
      return value === null ? 'null' : sayObject(value, key, above);
    case 'bigint': { // many programs define its toJSON, since JavaScript has none
      const prototype = p.getPrototypeOf(Object(value)); // eslint-disable-line no-new-wrappers
      if (typeof prototype.toJSON === 'function') return say(p.apply(prototype.toJSON, value, [key]), key, above);
    } // falls through
    default:
      throw refused(aTypeOf(value), key, above);
  }
}

function sayObject(value, key, above) {
  for (let a = above; a; a = a.above) {
    if (a.value === value) throw refused('Converting circular structure to JSON', key, above, true);
  }
  const here = { key, value, above };
  if (p.isArray(value)) return sayList(value, here);
  const prototype = p.getPrototypeOf(value);
  if (prototype !== p.ObjectPrototype || p.hasOwn(value, 'toJSON')) {
    const other = sayOther(value, key, here);
    if (other !== null) return other;
  }
  const keys = p.objectKeys(value);
  let text = '{';
  for (let i = 0; i < keys.length; i += 1) {
    const name = keys[i];
    const said = say(value[name], name, here);
    if (said !== undefined) text += `${text.length > 1 ? ',' : ''}${quoted(name)}:${said}`;
  }
  return `${text}}`;
}

function sayList(value, here) {
  let text = '[';
  for (let i = 0; i < value.length; i += 1) {
    const said = say(value[i], i, here);
    text += `${i ? ',' : ''}${said === undefined ? 'null' : said}`;
  }
  return `${text}]`;
}

// sayOther says an object of a class, or with a toJSON of its own; null: by its keys, as others.
function sayOther(value, key, here) {
  let toJSON = null;
  for (let o = value; o && o !== p.ObjectPrototype && !toJSON; o = p.getPrototypeOf(o)) {
    if (o === DatePrototype) return quoted(dateText(value, key, here));
    if (o === NumberPrototype) return say(p.numberOf(value), key, here.above);
    if (o === StringPrototype) return quoted(p.textOf(value));
    if (o === BooleanPrototype) return say(p.truthOf(value), key, here.above);
    if (p.hasOwn(o, 'toJSON')) toJSON = o.toJSON;
    else if (opaque.get(o)) throw refused(aTypeOf(value), key, here.above);
  }
  if (typeof toJSON !== 'function') return null;
  return say(p.apply(toJSON, value, [p.text(key)]), key, here);
}

function dateText(value, key, here) {
  if (!p.isFinite(p.dateValue(value))) throw refused('an invalid Date', key, here.above);
  return p.dateText(value);
}

// quoted returns a text in quotes. Half a surrogate pair becomes an escape, which JSON.stringify does since Node 12.
function quoted(text) {
  const json = p.stringify(text);
  if (escapes) return json;
  let out = '';
  let done = 0;
  for (let i = 0; i < json.length; i += 1) {
    const c = p.charCode(json, i) & 0xfc00;
    if (c === 0xd800 && (p.charCode(json, i + 1) & 0xfc00) === 0xdc00) {
      i += 1;
    } else if (c === 0xd800 || c === 0xdc00) {
      out += `${p.slice(json, done, i)}\\u${p.numberText(p.charCode(json, i), 16)}`;
      done = i + 1;
    }
  }
  return out + p.slice(json, done);
}

// refused returns the error of a value that stands at key of above.
function refused(what, key, above, whole) {
  let path = above ? step(key) : '';
  for (let a = above; a && a.above; a = a.above) path = step(a.key) + path;
  const where = path ? ` at ${path[0] === '.' ? p.slice(path, 1) : path}` : '';
  return new Unsayable(whole ? `${what}${where}` : `${what}${where} is not JSON`);
}

function step(key) {
  if (typeof key === 'number') return `[${key}]`;
  return p.matched(/^[\w$-]+$/, key) ? `.${key}` : `[${quoted(key)}]`;
}

// aTypeOf names the type of a value: "a Map", "a function".
function aTypeOf(value) {
  const name = typeof value === 'object' ? className(value) : typeof value;
  return `${p.matched(/^[AEIOaeio]/, name) ? 'an' : 'a'} ${name}`;
}

// className returns the name of the class of an object, whatever its class does.
function className(value) {
  try {
    for (let o = value; o; o = p.getPrototypeOf(o)) {
      const found = p.getOwnPropertyDescriptor(o, 'constructor');
      const name = found && found.value && p.getOwnPropertyDescriptor(found.value, 'name');
      if (name && typeof name.value === 'string' && name.value) return p.slice(name.value, 0, 100);
      if (opaque.get(o)) return opaque.get(o);
    }
  } catch (e) { // a Proxy may refuse
  }
  return 'object';
}

module.exports = { event, payload, sayable, className };
