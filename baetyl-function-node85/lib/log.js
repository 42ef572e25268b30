'use strict';
// The log of the runtime: every line to stderr, where the master captures it, and to a rotated file if a path is set.
//
//   <date> <time> - <instance> - <LEVEL> - <message>              format: text
//   {"time": ..., "level": ..., "instance": ..., "msg": ...}      format: json
//
// The file is rotated by size into <stem>-<time><suffix>. Rotated files are removed when there are more than
// backup.max, or when they are older than age.max days, as in all modules. Several instances of one service may share
// the path. When the file cannot be written its lines are lost; calls go on.

const fs = require('fs');
const path = require('path');
const p = require('./primordials');

// As they are before code of users is loaded.
const {
  writeSync, fstatSync, statSync, renameSync, closeSync, openSync, fchmodSync, readdirSync, unlinkSync, existsSync,
  mkdirSync,
} = fs;
const { dirname, basename, join } = path;
const { pid, hrtime } = process;

const LEVELS = ['debug', 'info', 'warn', 'error'];
const LABELS = { debug: 'DEBUG', info: 'INFO', warn: 'WARNING', error: 'ERROR' };
const WRITE_TIMEOUT = 1000; // milliseconds that a line waits for room in stderr
const parts = ['getFullYear', 'getMonth', 'getDate', 'getHours', 'getMinutes', 'getSeconds']
  .map((name) => p.uncurried(Date.prototype[name]));

// create returns a function for each level that logs its text.
function create(config, name) {
  const file = config.path ? new File(config) : null;
  const write = (level, message) => {
    const now = new p.date(); // eslint-disable-line new-cap
    const line = config.format === 'json'
      ? `{"time":"${p.dateText(now)}","level":"${level}","instance":${p.stringify(name)}`
        + `,"msg":${p.stringify(message)}}\n`
      : `${local(now)} - ${name} - ${LABELS[level]} - ${message}\n`;
    say(line);
    if (file) file.write(line);
  };
  const log = {};
  LEVELS.forEach((level, i) => {
    log[level] = i < LEVELS.indexOf(config.level) ? () => {} : (message) => write(level, message);
  });
  return log;
}

// say writes text to stderr. If stderr takes nothing, or is gone, there is no other place to say so.
function say(text) {
  let bytes = p.bytesFrom(text);
  for (let waited = 0; bytes.length && waited < WRITE_TIMEOUT;) {
    try {
      bytes = p.part(bytes, writeSync(2, bytes, 0, bytes.length));
    } catch (e) {
      if (e.code !== 'EAGAIN') return;
      p.wait(1);
      waited += 1;
    }
  }
}

function local(t) {
  const at = (i) => parts[i](t);
  const two = (n) => (n < 10 ? `0${n}` : `${n}`);
  return `${at(0)}-${two(at(1) + 1)}-${two(at(2))} ${two(at(3))}:${two(at(4))}:${two(at(5))}`;
}

class File {
  constructor(config) {
    this.config = config;
    this.path = path.resolve(config.path); // user code may change the directory
    this.suffix = path.extname(this.path);
    this.stem = this.path.slice(0, this.path.length - this.suffix.length);
    this.mode = 0o644 & ~process.umask();
    this.fd = null;
    this.told = false;
  }

  write(line) {
    try {
      this.open();
      const { size } = fstatSync(this.fd);
      const bytes = p.bytesFrom(line);
      if (size && size + bytes.length > this.config.sizeBytes) {
        // Process and time are in the name: two processes that rotate at once make a short file, and lose no line.
        renameSync(this.path, this.backupName());
        this.open();
        this.prune();
      }
      writeSync(this.fd, bytes, 0, bytes.length);
      this.told = false;
    } catch (e) { // a full disk, a removed directory
      if (!this.told) say(`write log file ${this.config.path}: ${e.message}\n`);
      this.told = true;
    }
  }

  // open opens the file at path, again if another process has moved it away.
  open() {
    if (this.fd !== null) {
      try {
        const there = statSync(this.path);
        const here = fstatSync(this.fd);
        if (here.dev === there.dev && here.ino === there.ino) return;
      } catch (e) {
        if (e.code !== 'ENOENT') throw e;
      }
      closeSync(this.fd);
      this.fd = null;
    }
    makeDirectory(dirname(this.path));
    this.fd = openSync(this.path, 'a', this.mode);
    if (!fstatSync(this.fd).size) fchmodSync(this.fd, this.mode); // user code may have changed the umask
  }

  backupName() {
    const fraction = p.slice(`${1e6 + (hrtime()[1] % 1e6)}`, 1, 4);
    const moment = p.slice(p.dateText(new p.date()), 0, -1); // eslint-disable-line new-cap
    const time = `${p.slice(moment, 0, 13)}-${p.slice(moment, 14, 16)}-${p.slice(moment, 17)}`;
    return `${this.stem}-${time}${fraction}.${pid}${this.suffix}`;
  }

  prune() {
    const directory = dirname(this.path);
    const prefix = `${basename(this.stem)}-`;
    const oldest = p.dateValue(new p.date()) - this.config.ageDays * 864e5; // eslint-disable-line new-cap
    const names = readdirSync(directory);
    const backups = [];
    for (let i = 0; i < names.length; i += 1) {
      if (p.startsWith(names[i], prefix) && p.endsWith(names[i], this.suffix)) backups[backups.length] = names[i];
    }
    p.sort(backups);
    for (let i = 0; i < backups.length; i += 1) {
      const backup = join(directory, backups[i]);
      const surplus = i < backups.length - this.config.backups;
      try {
        if (surplus || p.dateValue(statSync(backup).mtime) < oldest) unlinkSync(backup);
      } catch (e) { // another process was quicker
      }
    }
  }
}

p.rootless(File);

// makeDirectory also makes what is missing above it; Node 8 cannot in one call.
function makeDirectory(directory) {
  if (existsSync(directory)) return;
  makeDirectory(dirname(directory));
  try {
    mkdirSync(directory, 0o755);
  } catch (e) {
    if (e.code !== 'EEXIST') throw e;
  }
}

module.exports = { create, say };
