'use strict';
// Starts the Node function runtime.
//
//   config --> functions loaded --> port opened --> SIGTERM --> calls finished --> exit 0
//
//   config     what the configuration file says, checked before anything acts on it
//   log        lines to stderr, and to a rotated file
//   server     calls over gRPC, or
//   pipe       over the pipe, for a function manager that asks for it
//   calls      what a call does, over gRPC or the pipe
//   functions  payload -> event -> handler -> payload
//
// Node 8.13 and later. An open port means "all functions are loaded". Exit status: 0 after SIGTERM or SIGINT; 1 with
// one line on stderr when the configuration, a function or the address is wrong; 2 for wrong arguments; 127 when the
// libraries that it needs are not installed.

const path = require('path');

const PROGRAM = 'baetyl-function-node85';

function fail(text, code) {
  process.stderr.write(`${PROGRAM}: ${text}\n`);
  process.exit(code || 1);
}

function configFile(args) {
  if (!args.length) return 'etc/baetyl/service.yml';
  if (args.length === 2 && ['-c', '--conf', '--config'].includes(args[0])) return args[1];
  const help = args.length === 1 && ['-h', '--help'].includes(args[0]);
  (help ? process.stdout : process.stderr).write(`usage: ${PROGRAM} [-c FILE]     default: etc/baetyl/service.yml\n`);
  return process.exit(help ? 0 : 2);
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
  const file = configFile(process.argv.slice(2));
  const [config, logs, functions, calls, exposed] = ['config', 'log', 'functions', 'calls', 'exposed'].map(part);

  let c;
  let handlers;
  try {
    c = config.load(file, process.env);
  } catch (e) {
    if (!(e instanceof config.ConfigError)) throw e;
    fail(e.message);
  }
  const log = logs.create(c.logger, c.name);
  log.info('service starting');
  try {
    handlers = functions.load(c.functions);
  } catch (e) {
    if (!(e instanceof functions.LoadError)) throw e;
    if (e.userStack) process.stderr.write(`${e.userStack}\n`);
    fail(`${file}: ${e.message}`);
  }
  const running = new calls.Calls(handlers, c.server.concurrent, log);
  const { Server } = part(c.server.pipe ? 'pipe' : 'server');
  const server = new Server(running, c.server);

  let stopping = false;
  const stop = () => {
    if (stopping) return;
    stopping = true;
    server.stop(c.server.timeout, () => {
      log.info('service closed');
      process.exit(0); // timers and sockets of user code would keep the process
    });
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);

  server.listen((e) => {
    if (e) fail(`${file}: ${e.message}`);
    process.on('uncaughtException', (error) => running.stray(error));
    process.on('unhandledRejection', (error) => running.stray(error));
    exposed.say(log, c.server);
    log.info(`functions ${Array.from(handlers.keys()).sort().join(', ')} at ${c.server.address}`);
  });
}

main();
