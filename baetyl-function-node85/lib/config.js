'use strict';
// Reads the configuration file into plain values, or says which key of which file is wrong and what to write instead.
//
// Sizes are bytes or a number with k, m, g ("4m", binary units). Durations are Go durations ("30s", "1m30s"); a bare
// number is nanoseconds, as in earlier versions. An absent or null key gets its default; an unknown key is an error.
// The keys are those of the Python runtimes.

const fs = require('fs');
const values = require('./values');
const variables = require('./variables.js');

const { text, positive, boolean, choice, limit, duration, kind } = values;

// The first one that is set wins over the file. The OPENEDGE names are those of 0.1.5 and earlier.
const NAME_VARIABLES = ['BAETYL_SERVICE_INSTANCE_NAME', 'OPENEDGE_SERVICE_INSTANCE_NAME', 'OPENEDGE_SERVICE_NAME'];
const ADDRESS_VARIABLES = [
  'BAETYL_SERVICE_INSTANCE_ADDRESS',
  'OPENEDGE_SERVICE_INSTANCE_ADDRESS',
  'OPENEDGE_SERVICE_ADDRESS',
];
// Set by a function manager that knows the pipe: the runtime then serves that at the address, not gRPC.
const PIPE_VARIABLE = 'BAETYL_SERVICE_INSTANCE_PIPE';
// What its caller has to know. It is taken out of the environment: code of users and its processes do not get it.
const SECRET_VARIABLE = 'BAETYL_SERVICE_INSTANCE_SECRET';
// Calls at once, if functions[].instance.concurrency of the function manager says how many.
const CONCURRENCY_VARIABLE = 'BAETYL_SERVICE_INSTANCE_CONCURRENCY';
const AT_ONCE = 1; // user code may not expect several calls at once
const QUEUE = 64; // calls that wait in an instance with a secret

// ConfigError is one line: file, key path, what is wrong, what to do.
class ConfigError extends Error {}

// load returns {file, name, server, functions, logger} of file, overridden by env. Throws ConfigError.
function load(file, env) {
  const root = new Section(file, '', parse(file, env));
  root.take('hub', (v) => v); // a key of all modules, which a runtime does not need
  const name = from(env, NAME_VARIABLES, root.take('name', text));
  const server = readServer(root.section('server'), env);
  const logger = readLogger(root.section('logger'));
  const functions = readFunctions(root);
  root.done();
  if (!name) {
    const hint = `set name, or the environment variable ${NAME_VARIABLES[0]}`;
    throw new ConfigError(`${file}: config invalid, missing name: ${hint}`);
  }
  return { file, name, server, functions, logger };
}

// Section is a mapping of the file. A key that was not taken before done is unknown.
class Section {
  constructor(file, path, value) {
    if (value instanceof variables.Given) value = value.value;
    if (value === null || value === undefined) value = {};
    if (kind(value) !== 'keys') {
      throw new ConfigError(`${file}: ${path || 'the file'}: expected keys below it, found ${kind(value)}`);
    }
    this.file = file;
    this.path = path;
    this.values = value;
    this.known = new Set();
  }

  at(key) {
    return this.path ? `${this.path}.${key}` : key;
  }

  error(key, reason) {
    return new ConfigError(`${this.file}: ${this.at(key)}: ${reason}`);
  }

  get(key) {
    this.known.add(key);
    return Object.prototype.hasOwnProperty.call(this.values, key) ? this.values[key] : undefined;
  }

  // take returns the parsed value of key; its default when it is absent or null.
  take(key, parseValue, fallback) {
    let value = this.get(key);
    if (value instanceof variables.Given) value = parseValue === text ? value.text : value.value;
    if (value === null || value === undefined) return fallback;
    try {
      return parseValue(value);
    } catch (e) {
      throw this.error(key, e.message);
    }
  }

  section(key) {
    return new Section(this.file, this.at(key), this.get(key));
  }

  done() {
    const unknown = Object.keys(this.values).find((key) => !this.known.has(key));
    if (unknown !== undefined) {
      throw this.error(unknown, `unknown key; known here: ${Array.from(this.known).sort().join(', ')}`);
    }
  }
}

function parse(file, env) {
  let source;
  let strange;
  try {
    strange = strangeness(fs.statSync(file));
    if (!strange) source = fs.readFileSync(file);
  } catch (e) {
    const reason = e.code === 'ENOENT' ? 'No such file or directory' : e.message;
    throw new ConfigError(`${file}: ${reason}; name the configuration file with -c`);
  }
  if (strange) throw new ConfigError(`${file}: is ${strange}; name a regular file with -c`);
  const content = source.toString('utf8');
  if (content.includes('\ufffd') && !Buffer.from(content).equals(source)) {
    throw new ConfigError(`${file}: not UTF-8 text`);
  }
  try {
    return variables.load(content, env);
  } catch (e) {
    const line = e.mark ? `line ${e.mark.line + 1}: ` : '';
    throw new ConfigError(`${file}: ${line}${reasonOf(e).replace(/\s+/g, ' ')}`);
  }
}

// strangeness says what can't be read as a file is: waiting for the writer of a FIFO would never end.
function strangeness(stat) {
  if (stat.isFIFO()) return 'a FIFO';
  if (stat.isSocket()) return 'a socket';
  return stat.isCharacterDevice() || stat.isBlockDevice() ? 'a device' : '';
}

// reasonOf returns the reason of an error; for a key that is there twice, as the Python runtimes have it.
function reasonOf(e) {
  const twice = e.reason === 'duplicated mapping key';
  const key = twice && /^[\s,{]*(['"]?)(.*?)\1\s*:/.exec(e.mark.buffer.slice(e.mark.position));
  return key ? `key '${key[2]}' is there twice` : String(e.reason || e.message);
}

function readServer(s, env) {
  const workers = s.section('workers');
  const concurrent = s.section('concurrent');
  const message = s.section('message');
  const length = message.section('length');
  // "Baetyl Configuration Interpretation" indents concurrent, message and the certificates below workers.
  // Earlier versions did not read them there; this one does, so that a copy of the document works.
  const concurrent2 = workers.section('concurrent');
  const message2 = workers.section('message');
  const length2 = message2.section('length');
  workers.take('max', positive); // threads of the Python runtimes; here there is one
  const given = from(env, ADDRESS_VARIABLES);
  const address = s.take('address', text);
  const result = {
    address: target(s, given || address),
    own: !given, // the address is that of the file, not of the environment
    concurrent: concurrent.take('max', positive, concurrent2.take('max', positive)),
    messageLength: length.take('max', limit, length2.take('max', limit, 4 << 20)),
    ca: s.take('ca', text, message2.take('ca', text)),
    key: s.take('key', text, message2.take('key', text)),
    cert: s.take('cert', text, message2.take('cert', text)),
    insecure: s.take('insecure', boolean, false),
    timeout: s.take('timeout', duration, 5000),
  };
  [length, length2, concurrent, concurrent2, message, message2, workers, s].forEach((section) => section.done());
  if (!result.key !== !result.cert) {
    throw s.error(result.key ? 'cert' : 'key', 'is missing; TLS needs server.key and server.cert');
  }
  if (result.ca && !result.cert) throw s.error('ca', 'needs server.key and server.cert too');
  result.pipe = env[PIPE_VARIABLE] === '1' && !result.cert;
  result.secret = secretOf(env);
  result.limits = limitsOf(result, env[CONCURRENCY_VARIABLE]);
  return result;
}

// secretOf returns the secret of the instance, '' without one. The program of the package hands it on by a descriptor.
function secretOf(env) {
  const value = env[SECRET_VARIABLE] || '';
  delete env[SECRET_VARIABLE];
  if (value !== 'fd:3') return value;
  const secret = fs.readFileSync(3, 'utf8').trim();
  fs.closeSync(3);
  return secret;
}

// limitsOf returns how many calls run at once and how many more wait. A caller that knows no secret does not know of a
// queue either: its calls all run, up to concurrent.max.
function limitsOf(server, concurrency) {
  const most = server.concurrent || Infinity;
  const announced = Math.min(/^[1-9]\d{0,6}$/.test(concurrency) ? Number(concurrency) : AT_ONCE, most);
  if (!server.pipe || !server.secret) return { announced, atOnce: most, queue: 0 };
  return { announced, atOnce: announced, queue: Math.min(QUEUE, most - announced) };
}

function target(s, address) {
  if (!address) {
    const hint = `set server.address, or the environment variable ${ADDRESS_VARIABLES[0]}`;
    throw new ConfigError(`${s.file}: config invalid, missing server address: ${hint}`);
  }
  if (address.startsWith('tcp://')) address = address.slice('tcp://'.length);
  if (!address.startsWith('unix:') && !/:\d+$/.test(address)) {
    throw s.error('address', `'${address}' is not <host>:<port>`);
  }
  return address;
}

function readFunctions(root) {
  const entries = root.take('functions', (v) => v);
  if (!entries || (Array.isArray(entries) && !entries.length)) {
    const hint = 'list at least one with name, handler and codedir';
    throw new ConfigError(`${root.file}: config invalid, missing functions: ${hint}`);
  }
  if (!Array.isArray(entries)) throw root.error('functions', `expected a list, found ${kind(entries)}`);
  const names = new Set();
  return entries.map((entry, i) => {
    const f = new Section(root.file, `functions[${i}]`, entry);
    const result = { key: f.at('handler') };
    const keys = ['name', 'handler', 'codedir'];
    keys.forEach((key) => { result[key] = f.take(key, text); });
    result.watch = f.take('watch', boolean, false);
    f.done();
    keys.filter((key) => !result[key]).forEach((key) => {
      throw f.error(key, `config invalid, missing function name, handler or codedir: ${key} is not set`);
    });
    if (names.has(result.name)) throw f.error('name', `function '${result.name}' is there twice`);
    if (!/^[^.]+(\.[^.]+)+$/.test(result.handler)) {
      throw f.error('handler', `'${result.handler}' is not <module>.<function>, for example index.handler`);
    }
    if (!isDirectory(result.codedir)) throw f.error('codedir', `no directory '${result.codedir}' in ${process.cwd()}`);
    names.add(result.name);
    return result;
  });
}

function readLogger(s) {
  const age = s.section('age');
  const sizes = s.section('size');
  const backup = s.section('backup');
  const backupCount = s.section('backupCount'); // its name in this runtime until 0.1.6
  const result = {
    path: s.take('path', text),
    level: s.take('level', choice(['debug', 'info', 'warn', 'error']), 'info'),
    format: s.take('format', choice(['text', 'json']), 'text'),
    ageDays: age.take('max', positive, 15),
    sizeBytes: sizes.take('max', positive, 50) * (1 << 20),
    backups: backup.take('max', positive, backupCount.take('max', positive, 15)),
  };
  [age, sizes, backup, backupCount, s].forEach((section) => section.done());
  return result;
}

function from(env, names, fallback) {
  const name = names.find((n) => env[n]);
  return name ? env[name] : fallback;
}

function isDirectory(path) {
  try {
    return fs.statSync(path).isDirectory();
  } catch (e) {
    return false;
  }
}

module.exports = { load, size: values.size, duration, ConfigError };
