'use strict';
// FunctionMessages as bytes and back: protocol/function/function.proto, in the format of protobuf.
//
// An answer is the request with another payload, so its bytes are those of the request but for that field.

const p = require('./primordials');

const PAYLOAD = 0x22; // field 4, bytes
const FFFD = '\ufffd';
const NONE = p.newBytes(0);

// Invalid: bytes are no FunctionMessage.
class Invalid extends Error {
  constructor(text) { super(text); } // eslint-disable-line no-useless-constructor -- the default one iterates
}

// Message is a request; bytes[start, end) is its form, of which payload is [from, to).
class Message {
  constructor(bytes, start, end) {
    this.QOS = 0;
    this.Topic = '';
    this.Timestamp = 0; // seconds
    this.FunctionName = '';
    this.FunctionInvokeID = '';
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.from = end; // of the payload; without one it would stand at the end
    this.to = end;
    this.field = end; // where the field of the payload begins
    this.rest = end; // where what follows it begins
  }
}

p.rootless(Message);

// The last varint that was read: 64 bits, and where the next byte is.
let low = 0;
let high = 0;
let at = 0;

function varint(bytes, end) {
  low = 0;
  high = 0;
  for (let shift = 0; shift < 70; shift += 7) {
    if (at >= end) throw new Invalid('it ends in a number');
    const b = bytes[at];
    at += 1;
    if (shift < 28) {
      low |= (b & 0x7f) << shift;
    } else if (shift === 28) {
      low |= (b & 0x7f) << 28;
      high = (b & 0x7f) >> 4;
    } else if (shift < 63) {
      high |= (b & 0x7f) << (shift - 32);
    } else if (b > 1) {
      break;
    } else {
      high |= b << 31;
    }
    if (b < 0x80) {
      low >>>= 0;
      high >>>= 0;
      return;
    }
  }
  throw new Invalid('a number has more than 64 bits');
}

// decode reads the message in bytes[start, end). It throws Invalid. Fields that it does not know stay in the answer.
function decode(bytes, start, end) {
  const m = new Message(bytes, start, end);
  let parts = null; // of bytes, without all payloads but the last one, which counts; null with one at most
  at = start;
  while (at < end) {
    const field = at;
    varint(bytes, end);
    if (high || low < 8) throw new Invalid('a field has no number');
    const tag = low;
    if ((tag & 7) !== 2) {
      skip(bytes, end, tag, 0);
      if (tag === 0x10) m.QOS = low;
      else if (tag === 0x50) m.Timestamp = signed();
    } else {
      varint(bytes, end);
      if (high || low > end - at) throw new Invalid('a field is longer than the message');
      const from = at;
      at += low;
      if (tag === PAYLOAD) {
        if (m.field !== end) {
          if (!parts) parts = [p.part(bytes, start, m.field)];
          parts[parts.length] = p.part(bytes, m.rest, field);
        }
        m.field = field;
        m.from = from;
        m.to = at;
        m.rest = at;
      } else if (tag === 0x1a) {
        m.Topic = text(bytes, from, at);
      } else if (tag === 0x5a) {
        m.FunctionName = text(bytes, from, at);
      } else if (tag === 0x62) {
        m.FunctionInvokeID = text(bytes, from, at);
      }
    }
  }
  if (!parts) return m;
  parts[parts.length] = p.part(bytes, m.field, end);
  const all = p.joined(parts);
  return decode(all, 0, all.length);
}

// skip reads over the value of a field; a group has further fields in it.
function skip(bytes, end, tag, depth) {
  const type = tag & 7;
  if (type === 0) {
    varint(bytes, end);
  } else if (type === 1 || type === 5) {
    at += type === 1 ? 8 : 4;
  } else if (type === 2) {
    varint(bytes, end);
    if (high || low > end - at) throw new Invalid('a field is longer than the message');
    at += low;
  } else if (type === 3 && depth < 100) {
    for (;;) {
      varint(bytes, end);
      if (high || low < 8) throw new Invalid('a field has no number');
      if ((low & 7) === 4) break;
      skip(bytes, end, low, depth + 1);
    }
    if (low >>> 3 !== tag >>> 3) throw new Invalid('a group ends that has not begun');
  } else {
    throw new Invalid(`a field has the type ${type}`);
  }
  if (at > end) throw new Invalid('it ends in a field');
}

// signed returns the last varint as protobuf's sint64; beyond 2^53 the nearest double.
function signed() {
  const half = low >>> 1;
  return low & 1 ? -(high * 0x80000000 + (half + 1)) : high * 0x80000000 + half;
}

function text(bytes, start, end) {
  const s = p.utf8(bytes, start, end);
  if (p.indexOf(s, FFFD) >= 0 && !same(s, bytes, start, end)) throw new Invalid('a text is not UTF-8');
  return s;
}

// same tells whether s is bytes[start, end) in UTF-8: what is not UTF-8 has been read as U+FFFD.
function same(s, bytes, start, end) {
  return p.compared(p.bytesFrom(s), p.part(bytes, start, end)) === 0;
}

// size returns the length of the answer to m with a payload of n bytes.
function size(m, n) {
  return m.end - m.start - (m.rest - m.field) + (n ? 1 + digits(n) + n : 0);
}

function digits(n) {
  let d = 1;
  for (let rest = n; rest > 127; rest >>>= 7) d += 1;
  return d;
}

// write puts the answer to m into out, from position i on; payload is a text or bytes, of n bytes in UTF-8.
function write(m, payload, n, out, i) {
  copy(m.bytes, m.start, m.field, out, i);
  i += m.field - m.start;
  if (n) {
    out[i] = PAYLOAD;
    i += 1;
    let rest = n;
    for (; rest > 127; rest >>>= 7) {
      out[i] = (rest & 127) | 128;
      i += 1;
    }
    out[i] = rest;
    i += 1;
    if (typeof payload === 'string') p.utf8Write(out, payload, i, n);
    else p.copyBytes(payload, out, i, 0, n);
  }
  copy(m.bytes, m.rest, m.end, out, i + n);
}

// copy is quicker than Buffer's for the few bytes of a message without its payload.
function copy(bytes, start, end, out, i) {
  if (end - start > 64) p.copyBytes(bytes, out, i, start, end);
  else for (let k = start; k < end; k += 1) out[i + k - start] = bytes[k];
}

// length returns how many bytes a payload has, a text or bytes.
function length(payload) {
  return typeof payload === 'string' ? p.byteLength(payload) : p.bytesLength(payload);
}

// answer returns the bytes of the answer to m.
function answer(m, payload) {
  const n = length(payload);
  const out = p.newBytes(size(m, n));
  write(m, payload, n, out, 0);
  return out;
}

module.exports = { decode, answer, size, write, length, same, NONE };
