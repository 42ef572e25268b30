'use strict';
// Starts the Node function runtime.
//
//   config --> functions loaded --> address opened --> SIGTERM --> calls finished --> exit 0
//
//   arguments    a configuration file; or a handler and an event, for a run without the edge (local)
//   config       what the configuration file says, checked before anything acts on it
//   primordials  what the runtime needs of Node, taken before user code can replace it
//   guard        the end of the process, and its signals
//   log          lines to stderr, and to a rotated file; console for user code
//   server       calls over gRPC, or
//   pipe         over the pipe, for a function manager that asks for it
//   calls        whose turn it is; call: what one does, over gRPC or the pipe
//   functions    the users' handlers
//   json         payload -> event, result -> payload
//
// Node 8.13 and later. An open address means "all functions are loaded". Exit status: 0 after SIGTERM or SIGINT; 1 with
// one line on stderr when the configuration, a function or the address is wrong; 2 for wrong arguments; 127 when the
// libraries that it needs are not installed.

const path = require('path');
const { PROGRAM, parse } = require('./arguments');
const guard = require('./guard');
const logs = require('./log');
const { soon } = require('./primordials');

function fail(text, code) {
  logs.say(`${PROGRAM}: ${text}\n`);
  guard.end(code || 1);
}

// part loads one of the parts. gRPC takes time to load, so an instance with a pipe does not load it.
function part(name) {
  try {
    return require(`./${name}`);
  } catch (e) {
    if (e.code !== 'MODULE_NOT_FOUND') throw e;
    const prepare = path.join(__dirname, '..', 'bin', 'prepare');
    return fail(`${e.message.split('\n')[0]}; prepare the package with: ${prepare}`, 127);
  }
}

function main() {
  const args = parse(process.argv.slice(2));
  if (args.handler) {
    part('local').run(args, fail);
    return;
  }
  const config = part('config');
  let c;
  try {
    c = config.load(args.file, process.env);
  } catch (e) {
    if (!(e instanceof config.ConfigError)) throw e;
    fail(e.message);
  }
  serve(args.file, c);
}

function serve(file, c) {
  const names = ['errors', 'functions', 'calls', 'exposed', c.server.pipe ? 'pipe' : 'server'];
  const [errors, functions, { Calls }, exposed, { Server }] = names.map(part);
  const log = logs.create(c.logger, c.name);
  log.info('service starting');
  exposed.say(log, c.server);
  const listening = `functions ${c.functions.map((f) => f.name).sort().join(', ')} at ${c.server.address}`;
  const calls = new Calls(c.server.limits, log);
  const server = new Server(calls, c.server);
  let loading = null; // the entry of the function that is being loaded; null when all are

  // broken: user code has failed on its own, or has ended the process.
  const broken = (text, error) => {
    const where = loading ? functions.whereOf(loading) : 'functions';
    const at = errors.placeAnywhere(error, loading && loading.codedir);
    logs.say(`${errors.full(error)}\n`);
    fail(`${file}: ${where}: ${text}: ${errors.firstLine(errors.display(error))}${at && ` (${at})`}`);
  };
  const stray = (error) => {
    if (calls.handlers) calls.stray(error);
    else broken('an error while it was loaded', error);
  };
  guard.listen('uncaughtException', stray);
  guard.listen('unhandledRejection', stray);
  guard.watch((error, code) => {
    if (calls.handlers) {
      const call = calls.current();
      log.error(`the instance ends with status ${code}: ${error ? errors.full(error) : 'nothing keeps it running'}`);
      if (call && error) call.fail(error);
      return code;
    }
    const at = error && errors.placeAnywhere(error, loading && loading.codedir);
    const how = error ? `process.exit(${code}) was called${at && ` (${at})`}` : 'it waits for what never comes';
    logs.say(`${PROGRAM}: ${file}: ${functions.whereOf(loading)} ended the process while it was loaded: ${how}\n`);
    return code || 1;
  });
  part('console').install(log, (text) => calls.named(text));

  hide();
  functions.load(c.functions, (entry) => { loading = entry; }, (e, handlers) => {
    if (e) {
      if (!(e instanceof functions.LoadError)) throw e;
      if (e.userStack) logs.say(`${e.userStack}\n`);
      fail(`${file}: ${e.message}`);
    }
    // What the functions have left to do at once may fail: a promise that they have rejected, say.
    soon(() => {
      calls.handlers = handlers;
      listen();
    });
  });

  const stop = () => {
    if (calls.stopping) return;
    server.stop(c.server.timeout, () => {
      log.info('service closed');
      guard.end(0); // timers and sockets of user code would keep the process
    });
  };
  const listen = () => {
    guard.listen('SIGTERM', stop);
    guard.listen('SIGINT', stop);
    server.listen((e) => {
      if (e) fail(`${file}: ${e.message}`);
      log.info(listening);
    });
  };
}

// hide takes the parts of the runtime out of what user code finds without a search for it.
function hide() {
  Object.keys(require.cache).filter((name) => path.dirname(name) === __dirname).forEach((name) => {
    require.cache[name].children = [];
    delete require.cache[name];
  });
}

main();
