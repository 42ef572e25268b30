'use strict';
// The arguments of the command line.

const PROGRAM = 'baetyl-function-node85';

const USAGE = `usage: ${PROGRAM} [-c FILE]
           serves the functions of a configuration file; default: etc/baetyl/service.yml
       ${PROGRAM} --handler MODULE.FUNCTION [--event FILE] [--codedir FOLDER]
           runs a function once, without the edge, and prints its result. FILE is the payload of the message, - for
           standard input, no message without --event; FOLDER has the code, the current one by default.
           Exit status: 0 with a result, 1 when the function fails
`;

const FLAGS = {
  '-c': 'file',
  '--conf': 'file',
  '--config': 'file',
  '--handler': 'handler',
  '--event': 'event',
  '--codedir': 'codedir',
};

// parse returns {file} or {handler, event, codedir}. With other arguments it ends the process, after the usage.
function parse(args) {
  if (args.length === 1 && ['-h', '--help'].includes(args[0])) {
    process.stdout.write(USAGE);
    process.exit(0);
  }
  const found = {};
  for (let i = 0; i < args.length; i += 2) {
    const [, flag, joined] = /^(--\w+)=(.*)$/.exec(args[i]) || [null, args[i]];
    const name = FLAGS[flag];
    if (joined !== undefined) args.splice(i, 1, flag, joined);
    if (!name) usage(`unknown argument '${flag}'`);
    if (args[i + 1] === undefined) usage(`${flag} needs a value`);
    if (found[name] !== undefined) usage(`${flag} is there twice`);
    found[name] = args[i + 1];
  }
  if (found.handler === undefined) {
    if (found.event !== undefined || found.codedir !== undefined) usage('--event and --codedir need --handler');
    return Object.assign({ file: 'etc/baetyl/service.yml' }, found);
  }
  if (found.file !== undefined) usage('--handler and -c exclude each other');
  return Object.assign({ codedir: '.' }, found);
}

function usage(text) {
  process.stderr.write(`${PROGRAM}: ${text}\n${USAGE}`);
  process.exit(2);
}

module.exports = { PROGRAM, parse };
