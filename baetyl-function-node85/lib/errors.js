'use strict';
// What errors of user code are shown as. An error may be anything: text, a Proxy, an object whose message throws.
// What is thrown while it is looked at is part of what is shown.

const fs = require('fs');
const p = require('./primordials');
const { className } = require('./json');

const TEXT_MAX = 1 << 16; // characters of one error in the log
const CAUSES = 4; // errors behind an error that the log shows
const FRAME = /\(?(?:file:\/\/)?(\/[^():?]+)(?:\?[^:]*)?:(\d+)(?::\d+)?\)?$/; // of a stack
const { Error } = global;

// display returns an error in one line or more, as String does; of an object that is no Error, what is in it.
function display(error) {
  let text;
  try {
    text = textOf(error);
    if (text === '[object Object]') text = shown(error);
  } catch (e) {
    text = `${typeof error === 'object' ? className(error) : typeof error} (its text can't be read: ${reason(e)})`;
  }
  return text.length > TEXT_MAX ? `${p.slice(text, 0, TEXT_MAX)}...` : text;
}

// textOf returns String(error), of an Error without a text of its own what JavaScript makes of its name and message.
function textOf(error) {
  const own = typeof error !== 'object' || error === null || error.toString !== p.ErrorPrototype.toString;
  return own ? p.text(error) : p.errorText(error);
}

// reason is display of what was thrown by an error itself, without a third attempt.
function reason(error) {
  try {
    return textOf(error);
  } catch (e) {
    return 'nor can the reason';
  }
}

// shown returns the content of an object, which has no text of its own.
function shown(object) {
  try {
    return p.inspect(object, { depth: 2, breakLength: Infinity, maxArrayLength: 20 });
  } catch (e) {
    return '[object Object]';
  }
}

// stackOf returns the lines of an error that say where it was thrown, '' if it has none. A function of user code in the
// place of Error.prepareStackTrace, which Node calls for every error, is not asked.
function stackOf(error) {
  const theirs = p.getOwnPropertyDescriptor(Error, 'prepareStackTrace');
  try {
    if (theirs) prepare(undefined);
    return frames(error);
  } catch (e) { // its message can't be read, so Node can't say it either
    try {
      prepare((_, sites) => framesOf(sites));
      return frames(error);
    } catch (e2) {
      return '';
    }
  } finally {
    delete Error.prepareStackTrace;
    if (theirs) p.defineProperty(Error, 'prepareStackTrace', theirs);
  }
}

function prepare(value) {
  p.defineProperty(Error, 'prepareStackTrace', { __proto__: null, value, configurable: true, writable: true });
}

function frames(error) {
  const stack = error.stack; // eslint-disable-line prefer-destructuring -- undefined and null have none
  const found = typeof stack === 'string' && p.matched(/(?:^|\n) +at /, stack);
  if (!found) return '';
  const lines = p.split(p.slice(stack, found.index + (stack[found.index] === '\n' ? 1 : 0), TEXT_MAX), '\n');
  let text = '';
  for (let i = 0; i < lines.length; i += 1) { // those of the runtime are the same in every error
    if (p.indexOf(lines[i], `${__dirname}/`) < 0) text += `${text && '\n'}${lines[i]}`;
  }
  return text;
}

function framesOf(sites) {
  let text = '';
  for (let i = 0; i < sites.length; i += 1) text += `${i ? '\n' : ''}    at ${sites[i]}`;
  return text;
}

// full returns an error for the log: its text, where it was thrown, and the errors that it names as its cause.
function full(error) {
  let text = '';
  let next = error;
  for (let i = 0; i <= CAUSES; i += 1) {
    const stack = stackOf(next);
    text += `${i ? '\ncaused by: ' : ''}${display(next)}${stack && `\n${stack}`}`;
    next = causeOf(next);
    if (next === undefined || next === null) break;
  }
  return text;
}

function causeOf(error) {
  try {
    return typeof error === 'object' && error !== null ? error.cause : undefined;
  } catch (e) {
    return undefined;
  }
}

// place returns "index.js:12", where user code in the folder root has thrown error; '' when that is not known. A file
// of a library is named only if there is no other.
function place(error, root) {
  const lines = p.split(stackOf(error), '\n');
  let library = '';
  for (let i = 0; i < lines.length; i += 1) {
    const where = within(root, p.matched(FRAME, lines[i]));
    if (where && p.indexOf(where, 'node_modules/') < 0) return where;
    library = library || where;
  }
  return library || within(root, p.matched(/^(\/[^\n]+):(\d+)\n/, rawStack(error))); // of a SyntaxError
}

// placeAnywhere is place while functions are loaded: of an error that none of the code in root has thrown it returns
// the path of the first file.
function placeAnywhere(error, codedir) {
  const root = codedir && fs.realpathSync(codedir);
  const lines = p.split(stackOf(error), '\n');
  for (let i = 0; i < lines.length; i += 1) {
    const found = p.matched(FRAME, lines[i]);
    if (found) return (root && within(root, found)) || `${found[1]}:${found[2]}`;
  }
  return '';
}

function within(root, found) {
  if (!found || !p.startsWith(found[1], `${root}/`)) return '';
  return `${p.slice(found[1], root.length + 1)}:${found[2]}`;
}

function rawStack(error) {
  try {
    return p.text(error.stack);
  } catch (e) {
    return '';
  }
}

// firstLine: "Cannot find module" lists the chain of modules in further lines.
function firstLine(text) {
  const end = p.indexOf(text, '\n');
  return end < 0 ? text : p.slice(text, 0, end);
}

module.exports = { display, full, stackOf, place, placeAnywhere, firstLine };
