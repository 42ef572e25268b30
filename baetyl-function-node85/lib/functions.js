'use strict';
// Loads the users' functions, and loads them again when their files change, if that is wanted.
//
//   entry of the configuration --> module --> handler
//
// A module is CommonJS, or an ES module where Node has them: a file .mjs, or .js in a package of the type module.

const fs = require('fs');
const path = require('path');
const url = require('url');
const p = require('./primordials');
const { display, full, place, firstLine } = require('./errors');

const { statSync } = fs;
const { extname } = path;
const { cache } = require;
const version = process.versions.node.split('.').map(Number);
const esm = version[0] > 13 || (version[0] === 13 && version[1] >= 2) || (version[0] === 12 && version[1] >= 17);

// LoadError is one line: key path, function, cause. userStack, if set, is where user code failed.
class LoadError extends Error {}

// Handler is a function of a user; fn changes when it is loaded again.
class Handler {
  constructor(entry, fn, code) {
    this.name = entry.name;
    this.entry = entry;
    this.fn = fn;
    this.code = code;
  }
}

p.rootless(Handler);

// Code is a folder of code, of one or more handlers. What loads it again is for development, and takes no care of what
// user code has replaced.
class Code {
  constructor(root) {
    this.root = root;
    this.handlers = []; // that are watched
    this.modules = new p.SafeSet(); // files of ES modules
    this.stamps = '';
    this.loading = null; // a promise, while ES modules are loaded again
    this.times = 0; // that it was loaded again
  }

  // stamp returns what changes when one of the files changes. Libraries count as unchanged.
  stamp() {
    let text = '';
    const files = this.files();
    for (let i = 0; i < files.length; i += 1) text += `${files[i]} ${stampOf(files[i])}\n`;
    this.modules.forEach((file) => { text += `${file} ${stampOf(file)}\n`; });
    return text;
  }

  files() {
    const all = p.objectKeys(cache);
    const found = [];
    for (let i = 0; i < all.length; i += 1) {
      const mine = p.startsWith(all[i], `${this.root}/`) && p.indexOf(all[i], '/node_modules/', this.root.length) < 0;
      if (mine) found[found.length] = all[i];
    }
    return found;
  }

  // fresh loads the handlers again if a file has changed. It returns a promise when that takes time, else null.
  fresh(log) {
    if (this.loading) return this.loading;
    const now = this.stamp();
    if (now === this.stamps) return null;
    this.times += 1;
    this.stamps = now;
    const before = this.files();
    const modules = before.map((file) => cache[file]);
    before.forEach((file) => { delete cache[file]; });
    const fns = [];
    const done = () => {
      this.handlers.forEach((handler, i) => { handler.fn = fns[i]; });
      this.stamps = this.stamp();
      this.loading = null;
      log.info(`loaded again, since a file has changed: ${this.handlers.map((h) => `function ${h.name}`).join(', ')}`);
    };
    const failed = (e) => { // what runs goes on, and is loaded again when a file changes once more
      before.forEach((file, i) => { cache[file] = modules[i]; });
      this.loading = null;
      log.error(`the functions in ${this.root} stay as they were, since a changed file can't be loaded: ${e.message}`
        + `${e.userStack ? `\n${e.userStack}` : ''}`);
    };
    const next = (i) => {
      for (let k = i; k < this.handlers.length; k += 1) {
        const fn = find(this.handlers[k].entry, this);
        if (typeof fn !== 'function') return fn.then((f) => { fns[k] = f; return next(k + 1); });
        fns[k] = fn;
      }
      return null;
    };
    try {
      const wait = next(0);
      if (wait) this.loading = wait.then(done, failed);
      else done();
    } catch (e) {
      failed(e);
    }
    return this.loading;
  }
}

p.rootless(Code);

function stampOf(file) {
  try {
    const s = statSync(file);
    return `${s.ino} ${s.size} ${p.dateValue(s.mtime)}`;
  } catch (e) {
    return 'gone';
  }
}

// load calls done(null, handlers), a Map by name, or done(error), a LoadError, perhaps before it returns. began(entry)
// is called before each of the entries of `functions` is loaded.
function load(entries, began, done) {
  const handlers = new p.SafeMap();
  const codes = new p.SafeMap();
  const next = (i) => {
    if (i === entries.length) {
      codes.forEach((code) => { if (code.handlers.length) code.stamps = code.stamp(); });
      done(null, handlers);
      return;
    }
    const entry = entries[i];
    began(entry);
    const root = fs.realpathSync(entry.codedir);
    if (!codes.has(root)) codes.set(root, new Code(root));
    const code = codes.get(root);
    const found = (fn) => {
      const handler = new Handler(entry, fn, code);
      if (entry.watch) code.handlers[code.handlers.length] = handler;
      handlers.set(entry.name, handler);
      next(i + 1);
    };
    let fn;
    try {
      fn = find(entry, code);
    } catch (e) {
      done(e);
      return;
    }
    if (typeof fn === 'function') found(fn);
    else fn.then((f) => p.soon(found, f), (e) => p.soon(done, e)); // not in the promise, which would keep an error
  };
  next(0);
}

// find returns the function of an entry, or a promise of it. It finds the module with the longest path, so that a.b.c
// is c of a/b.js, and else b.c of a.js. It throws LoadError.
function find(entry, code) {
  const parts = entry.handler.split('.');
  for (let i = parts.length - 1; i > 0; i -= 1) {
    const file = resolve(path.join(code.root, parts.slice(0, i).join('/')));
    if (file) {
      const pick = (exported) => {
        const fn = exportOf(exported, parts.slice(i)) || exportOf(exported && exported.default, parts.slice(i));
        if (fn) return fn;
        throw new LoadError(`${whereOf(entry)}: ${file} exports no function '${parts.slice(i).join('.')}'`);
      };
      return requireUser(file, entry, code, pick);
    }
  }
  throw new LoadError(`${whereOf(entry)}: no module '${parts.slice(0, -1).join('/')}' in ${entry.codedir}`);
}

function whereOf(entry) {
  return `${entry.key}: '${entry.handler}' of function '${entry.name}'`;
}

function exportOf(exported, names) {
  const value = names.reduce((v, name) => (v === undefined || v === null ? undefined : v[name]), exported);
  return typeof value === 'function' ? value : null;
}

function resolve(file) {
  try {
    return require.resolve(file);
  } catch (e) {
    return ['.mjs', '.cjs'].map((suffix) => file + suffix).find((f) => fs.existsSync(f)) || null;
  }
}

function requireUser(file, entry, code, pick) {
  const failed = (e) => { throw loadError(e, file, entry, code); };
  if (extname(file) !== '.mjs' && (esm || typeOf(file) !== 'module')) {
    try {
      return pick(require(file));
    } catch (e) {
      if (!esm || !e || (e.code !== 'ERR_REQUIRE_ESM' && e.code !== 'ERR_REQUIRE_ASYNC_MODULE')) failed(e);
    }
  }
  if (!esm) {
    throw new LoadError(`${whereOf(entry)}: ${file} is an ES module, which Node ${process.versions.node} can't load; `
      + 'use Node 12.17 or later, or write it with require and exports');
  }
  code.modules.add(file);
  const { href } = url.pathToFileURL(file);
  const load = require('./import');
  return load(code.times ? `${href}?loaded=${code.times}` : href).then(pick, failed);
}

// typeOf returns the type that the package of a file has, as Node looks for it.
function typeOf(file) {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    try {
      return JSON.parse(fs.readFileSync(path.join(folder, 'package.json'))).type;
    } catch (e) {
      if (e.code !== 'ENOENT' || folder === path.dirname(folder)) return undefined;
    }
  }
}

function loadError(e, file, entry, code) {
  if (e instanceof LoadError) return e;
  const at = place(e, code.root);
  const error = new LoadError(`${whereOf(entry)}: load ${file}: ${firstLine(display(e))}${at && ` (${at})`}`);
  error.userStack = full(e);
  return error;
}

module.exports = { load, LoadError, whereOf };
