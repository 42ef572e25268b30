'use strict';
// console of user code goes to the log of the service, with the function and the invoke id of the call that writes.

const p = require('./primordials');
const { stackOf } = require('./errors');

const LEVELS = { log: 'info', info: 'info', debug: 'debug', warn: 'warn', error: 'error' };

// install replaces the methods of console that write. named(text) puts the name of the running call before text.
function install(log, named) {
  const line = (level, args) => log[level](named(p.apply(p.format, undefined, args)));
  Object.keys(LEVELS).forEach((name) => {
    const level = LEVELS[name];
    console[name] = (...args) => line(level, args);
  });
  console.dirxml = console.log;
  console.dir = (value, options) => log.info(named(p.inspect(value, options)));
  console.trace = (...args) => {
    log.error(named(`Trace: ${p.apply(p.format, undefined, args)}\n${stackOf(new p.Error())}`));
  };
}

module.exports = { install };
