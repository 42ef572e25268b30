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

const LEVELS = ['debug', 'info', 'warn', 'error'];
const LABELS = { debug: 'DEBUG', info: 'INFO', warn: 'WARNING', error: 'ERROR' };

// create returns a function for each level that logs its text.
function create(config, name) {
  const sinks = [(line) => process.stderr.write(line)];
  process.stderr.on('error', () => {}); // stderr is gone; there is no other place to report it
  if (config.path) {
    const file = new File(config);
    sinks.push((line) => file.write(line));
  }
  const write = (level, message) => {
    const now = new Date();
    const line = config.format === 'json'
      ? JSON.stringify({ time: now.toISOString(), level, instance: name, msg: message })
      : `${local(now)} - ${name} - ${LABELS[level]} - ${message}`;
    sinks.forEach((sink) => sink(`${line}\n`));
  };
  const log = {};
  LEVELS.forEach((level, i) => {
    log[level] = i < LEVELS.indexOf(config.level) ? () => {} : (message) => write(level, message);
  });
  return log;
}

function local(t) {
  const two = (n) => String(n).padStart(2, '0');
  const date = `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())}`;
  return `${date} ${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`;
}

class File {
  constructor(config) {
    this.config = config;
    this.fd = null;
    this.told = false;
  }

  write(line) {
    try {
      this.open();
      const size = fs.fstatSync(this.fd).size;
      const bytes = Buffer.from(line);
      if (size && size + bytes.length > this.config.sizeBytes) {
        // Process and time are in the name: two processes that rotate at once make a short file, and lose no line.
        fs.renameSync(this.config.path, this.backupName());
        this.open();
        this.prune();
      }
      fs.writeSync(this.fd, bytes);
      this.told = false;
    } catch (e) { // a full disk, a removed directory
      if (!this.told) process.stderr.write(`write log file ${this.config.path}: ${e.message}\n`);
      this.told = true;
    }
  }

  // open opens the file at path, again if another process has moved it away.
  open() {
    if (this.fd !== null) {
      try {
        const there = fs.statSync(this.config.path);
        const here = fs.fstatSync(this.fd);
        if (here.dev === there.dev && here.ino === there.ino) return;
      } catch (e) {
        if (e.code !== 'ENOENT') throw e;
      }
      fs.closeSync(this.fd);
      this.fd = null;
    }
    makeDirectory(path.dirname(path.resolve(this.config.path)));
    this.fd = fs.openSync(this.config.path, 'a', 0o644);
  }

  stem() {
    const suffix = path.extname(this.config.path);
    return { stem: this.config.path.slice(0, this.config.path.length - suffix.length), suffix };
  }

  backupName() {
    const { stem, suffix } = this.stem();
    const micros = process.hrtime()[1] % 1e6;
    const moment = new Date().toISOString().slice(0, -1).replace(/:/g, '-');
    const fraction = String(micros).padStart(6, '0').slice(0, 3);
    return `${stem}-${moment}${fraction}.${process.pid}${suffix}`;
  }

  prune() {
    const { stem, suffix } = this.stem();
    const directory = path.dirname(path.resolve(this.config.path));
    const prefix = `${path.basename(stem)}-`;
    const oldest = Date.now() - this.config.ageDays * 864e5;
    const backups = fs.readdirSync(directory).filter((n) => n.startsWith(prefix) && n.endsWith(suffix));
    backups.sort().reverse().forEach((name, i) => {
      const backup = path.join(directory, name);
      try {
        if (i >= this.config.backups || fs.statSync(backup).mtime.getTime() < oldest) fs.unlinkSync(backup);
      } catch (e) { // another process was quicker
      }
    });
  }
}

// makeDirectory also makes what is missing above it; Node 8 cannot in one call.
function makeDirectory(directory) {
  if (fs.existsSync(directory)) return;
  makeDirectory(path.dirname(directory));
  try {
    fs.mkdirSync(directory, 0o755);
  } catch (e) {
    if (e.code !== 'EEXIST') throw e;
  }
}

module.exports = { create };
