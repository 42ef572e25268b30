'use strict';
// Runs a function once, without the edge: for development.

const fs = require('fs');
const { PROGRAM } = require('./arguments');
const p = require('./primordials');
const guard = require('./guard');
const message = require('./message');
const errors = require('./errors');
const functions = require('./functions');
const { Call } = require('./call');
const { Calls } = require('./calls');
const log = require('./log');
const consoles = require('./console');

// run calls the handler of args with the event, prints its result and ends the process. fail(text) ends it too.
function run(args, fail) {
  let payload = Buffer.alloc(0);
  try {
    if (args.event) payload = fs.readFileSync(args.event === '-' ? 0 : args.event);
  } catch (e) {
    fail(`--event: read ${args.event}: ${e.message}`);
  }
  if (!/^[^.]+(\.[^.]+)+$/.test(args.handler)) {
    fail(`--handler: '${args.handler}' is not <module>.<function>, for example index.handler`);
  }
  if (!fs.existsSync(args.codedir)) fail(`--codedir: no directory '${args.codedir}' in ${process.cwd()}`);
  const lines = log.create({ level: 'debug', format: 'text' }, PROGRAM);
  const entry = { name: args.handler, handler: args.handler, codedir: args.codedir, key: '--handler' };
  const calls = new Calls({ announced: 1, atOnce: 1, queue: 0 }, lines);
  const broken = (e) => {
    if (calls.handlers) calls.stray(e);
    else fail(`an error while the function was loaded: ${errors.full(e)}`);
  };
  guard.listen('uncaughtException', broken);
  guard.listen('unhandledRejection', broken);
  guard.watch((e, code) => {
    log.say(`${PROGRAM}: ${e ? errors.full(e) : 'the function has nothing left to do, and has not answered'}\n`);
    return code || 1;
  });
  consoles.install(lines, (text) => text);
  functions.load([entry], () => {}, (e, handlers) => {
    if (e) fail(`${e.message}${e.userStack ? `\n${e.userStack}` : ''}`);
    calls.handlers = handlers;
    calls.add(new Call(calls, {
      answer: (_, result) => {
        if (message.length(result)) print(result);
        guard.end(0);
      },
      refuse: (_, status, text) => fail(text),
      waits: () => {},
      left: () => {},
    }, 0, request(args.handler, payload)));
  });
}

// request returns the message that the function gets.
function request(name, payload) {
  return {
    QOS: 0,
    Topic: 'local',
    Timestamp: Math.floor(Date.now() / 1000),
    FunctionName: name,
    FunctionInvokeID: 'local',
    bytes: payload,
    from: 0,
    to: payload.length,
  };
}

function print(result) {
  const bytes = typeof result === 'string' ? p.bytesFrom(`${result}\n`) : result;
  for (let done = 0; done < bytes.length;) {
    try {
      done += p.writeSync(1, bytes, done, bytes.length - done);
    } catch (e) {
      if (e.code !== 'EAGAIN') throw e;
      p.wait(1);
    }
  }
}

module.exports = { run };
