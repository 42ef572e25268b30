'use strict';
// What is called after a hostile handler. It needs nothing that one can replace.

const { log } = console;

exports.value = (event, context, callback) => {
  callback(null, { got: event, topic: context.messageTopic, list: [1, 'ü'] });
};
exports.returned = (event) => ({ got: event });
exports.promised = async (event) => ({ got: event });
exports.date = (event, context, callback) => callback(null, { at: exports.epoch });
exports.epoch = new Date(0);
exports.later = (event, context, callback) => { later(() => callback(null, 'later')); };
exports.bytes = (event, context, callback) => callback(null, event);
exports.passed = (event, context, callback) => callback(new TypeError('x'));
exports.thrown = () => { throw new TypeError('x'); };
exports.map = (event, context, callback) => callback(null, { a: exports.kept });
exports.kept = new Map();
exports.says = (event, context, callback) => { log('said', event.text); callback(null, 1); };

const later = setImmediate;
