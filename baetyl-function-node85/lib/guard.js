'use strict';
// What keeps the process of the runtime: an end that user code brings about is said, with its place, and the
// listeners of the runtime stay when user code removes all.

const p = require('./primordials');

const ours = new p.SafeMap(); // event name: listener
const { exit, reallyExit, on, listeners, eventNames, removeListener } = process;

p.pinEmitter(process);
const emit = p.getOwnPropertyDescriptor(process, 'emit');
['newListener', 'removeListener'].forEach((name) => process.listeners(name).forEach(p.sealed)); // Node's, for signals

let leaving = false; // what ends the process is said, or it is the runtime itself

// watch calls ended(error, code) once when something else than the runtime ends the process. error has the place, and
// is null when nothing was left to do. ended returns the exit status.
function watch(ended) {
  const leave = (error, code) => {
    if (leaving) return code;
    leaving = true;
    return ended(error, code);
  };
  process.exit = (code) => {
    const status = numberOf(code);
    return p.apply(exit, process, [leave(new Error(`process.exit(${status}) ended the instance`), status)]);
  };
  listen('exit', (code) => {
    process.exitCode = leave(null, code);
  });
  process.removeAllListeners = removeAll;
  process.removeListener = removeOne;
  process.off = removeOne;
}

// numberOf returns the status of process.exit(code).
function numberOf(code) {
  return code === undefined || code === null ? process.exitCode || 0 : Number(code) || 0;
}

// end ends the process as the runtime means it.
function end(code) {
  leaving = true;
  try {
    p.apply(exit, process, [code]);
  } catch (e) { // a listener of user code
  }
  p.apply(reallyExit, process, [code]);
}

// listen adds a listener that stays; a second one of the same event replaces the first.
function listen(name, listener) {
  const before = ours.get(name);
  if (before) p.apply(removeListener, process, [name, before]);
  ours.set(name, p.sealed(listener));
  const theirs = p.getOwnPropertyDescriptor(process, 'emit');
  p.defineProperty(process, 'emit', emit); // a signal takes what is there now
  p.apply(on, process, [name, listener]);
  p.defineProperty(process, 'emit', theirs);
}

function removeOne(name, listener) {
  return ours.get(name) === listener ? process : p.apply(removeListener, process, [name, listener]);
}

function removeAll(name) {
  const names = arguments.length ? [name] : p.apply(eventNames, process, []);
  for (let i = 0; i < names.length; i += 1) {
    // Those of Node, for signals, go only if they are named.
    const own = names.length > 1 && (names[i] === 'newListener' || names[i] === 'removeListener');
    const all = own ? [] : p.apply(listeners, process, [names[i]]);
    for (let k = all.length - 1; k >= 0; k -= 1) removeOne(names[i], all[k]);
  }
  return process;
}

module.exports = { watch, end, listen };
