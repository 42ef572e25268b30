'use strict';
// FunctionMessages as bytes and back.

const { Reader } = require('protobufjs/minimal');
const { FunctionMessage } = require('./function_pb').baetyl;

function encode(message) {
  return FunctionMessage.encode(message).finish();
}

// decode throws when bytes are no FunctionMessage.
function decode(bytes) {
  const reader = Reader.create(bytes);
  reader.string = text;
  return FunctionMessage.decode(reader);
}

// text replaces Reader.string, which takes any bytes: it checks that they are UTF-8, as protobuf demands.
function text() {
  const bytes = this.bytes();
  const s = bytes.toString('utf8');
  if (s.includes('\ufffd') && !Buffer.from(s).equals(bytes)) throw new Error('a text is not UTF-8');
  return s;
}

module.exports = { encode, decode };
