'use strict';
// The values of a configuration file: each function takes what YAML has made of one, and returns what it means, or
// throws an Error that says what is allowed.

const MOST = Math.pow(2, 63); // bytes and nanoseconds are below it, as in the modules in Go
const MILLISECONDS = { ns: 1e-6, us: 1e-3, 'µs': 1e-3, 'μs': 1e-3, ms: 1, s: 1e3, m: 6e4, h: 36e5 };

// size returns the bytes of 512, "512", "32k", "4m", "1g".
function size(value) {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  const m = typeof value === 'string' && /^(\d+)\s*([kmgt]?)b?$/i.exec(value.trim());
  const bytes = m ? Number(m[1]) * Math.pow(1024, ' kmgt'.indexOf(m[2].toLowerCase() || ' ')) : MOST;
  if (bytes >= MOST) throw new Error(`invalid size: '${value}'; write bytes or a number with k, m or g`);
  return bytes;
}

// limit is a size that something fits into.
function limit(value) {
  const bytes = size(value);
  if (bytes < 1) throw new Error(`expected a size of at least 1, found '${value}'`);
  return bytes;
}

// duration returns the milliseconds of "30s", "1m30s", "200ms"; a bare number is nanoseconds.
function duration(value) {
  const milliseconds = span(value);
  if (milliseconds * 1e6 >= MOST) throw new Error(`invalid duration: '${value}'; the longest is 292 years`);
  return milliseconds;
}

function span(value) {
  if (Number.isInteger(value) && value >= 0) return value / 1e6;
  const source = typeof value === 'string' ? value.trim() : '';
  if (/^\d+$/.test(source)) return Number(source) / 1e6;
  let sum = 0;
  const rest = source.replace(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g, (_, n, unit) => {
    sum += Number(n) * MILLISECONDS[unit];
    return '';
  });
  if (!source || rest) {
    throw new Error(`invalid duration: '${value}'; write a number with ms, s, m or h, for example 30s`);
  }
  return sum;
}

function text(value) {
  if (typeof value !== 'string' && typeof value !== 'number') throw new Error(`expected text, found ${kind(value)}`);
  return String(value);
}

function positive(value) {
  if (!Number.isInteger(value) || value < 1 || value >= Math.pow(2, 32)) {
    let hint = '';
    if (typeof value === 'string' && /^\d+$/.test(value)) hint = '; remove the quotes';
    else if (Number.isInteger(value) && value > 1) hint = '; the largest is 4294967295';
    throw new Error(`expected a whole number of at least 1, found '${value}'${hint}`);
  }
  return value;
}

function boolean(value) {
  if (typeof value !== 'boolean') throw new Error(`'${value}' is neither true nor false`);
  return value;
}

function choice(allowed) {
  return (value) => {
    if (!allowed.includes(value)) throw new Error(`'${value}' is not one of ${allowed.join(', ')}`);
    return value;
  };
}

function kind(value) {
  if (Array.isArray(value)) return 'a list';
  const names = { object: 'keys', boolean: 'true or false', string: 'text', number: 'a number' };
  return names[typeof value] || 'something else';
}

module.exports = { size, limit, duration, text, positive, boolean, choice, kind };
