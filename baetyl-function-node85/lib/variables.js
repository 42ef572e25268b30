'use strict';
// The variables of a configuration file, {{.NAME}}, as all modules have them.
//
// They are covered while YAML is parsed and filled into scalars, so that a value is one value, whatever is in it.
// Without quotes it takes the type of its key, which Given leaves to the reader of the key. {{{{.NAME}}}} is the text
// {{.NAME}}.

const crypto = require('crypto');
const yaml = require('js-yaml');

const VARIABLE = /\{\{\{\{\s*\.\w+\s*\}\}\}\}|\{\{\s*\.([A-Za-z_]\w*)\s*\}\}/g;
const NULLS = ['', '~', 'null', 'Null', 'NULL'];

// Unusable is a variable that can't be used: the line, what is wrong, what to do.
class Unusable extends Error {}

// Given is what stood without quotes and has a variable: the text, for a key of text, and its value, for the others.
class Given {
  constructor(text) {
    this.text = text;
    this.value = valueOf(text);
  }

  toString() { // the name of a key
    return this.text;
  }

  get [Symbol.toStringTag]() { // js-yaml takes a plain object for a mapping, which is no key
    return 'Given';
  }
}

function valueOf(text) {
  const bare = text.trim();
  if (NULLS.includes(bare)) return null;
  if (!/^[-+.\w]+$/.test(bare)) return text;
  let value;
  try {
    value = yaml.load(bare, { schema: yaml.CORE_SCHEMA });
  } catch (e) {
    return text;
  }
  return typeof value === 'number' || typeof value === 'boolean' ? value : text;
}

// load returns what is in source, YAML, with the values of its variables from env.
function load(source, env) {
  const mark = `v${crypto.randomBytes(16).toString('hex')}`;
  const place = new RegExp(`${mark}(\\d+)v`, 'g');
  const parts = [];
  const covered = source.split('\n').map((line, i) => {
    if (line.trim().startsWith('#')) return line;
    return line.replace(VARIABLE, (text, name) => `${mark}${parts.push({ line: i + 1, text, name }) - 1}v`);
  }).join('\n');
  const fill = (text) => text.replace(place, (_, i) => valueAt(parts[i], env));
  const schema = yaml.DEFAULT_SCHEMA.extend({
    implicit: [new yaml.Type('!given', {
      kind: 'scalar',
      resolve: (text) => typeof text === 'string' && text.includes(mark),
      construct: (text) => {
        const value = fill(text);
        return value === '' ? null : new Given(value);
      },
    })],
  });
  try {
    return settle(yaml.load(covered, { schema }), fill, new Map());
  } catch (e) {
    const uncover = (text) => text.replace(place, (_, i) => parts[i].text);
    if (e.reason) e.reason = uncover(e.reason);
    if (e.mark) { // what stands at the error and behind it is all that is read of it
      e.mark.buffer = uncover(e.mark.buffer.slice(e.mark.position));
      e.mark.position = 0;
    }
    throw e;
  }
}

function valueAt(part, env) {
  if (part.name === undefined) return part.text.slice(2, -2);
  const value = env[part.name];
  if (value === undefined) {
    const remedy = `set it or write the value in its place; for the text ${part.text} itself write {{${part.text}}}`;
    throw new Unusable(`line ${part.line}: environment variable ${part.name} is not set; ${remedy}`);
  }
  return value;
}

// settle fills what stood in quotes. done has what several places of the tree share.
function settle(value, fill, done) {
  if (typeof value === 'string') return fill(value);
  if (value === null || typeof value !== 'object' || value instanceof Given) return value;
  if (done.has(value)) return done.get(value);
  const out = Array.isArray(value) ? [] : {};
  done.set(value, out);
  Object.keys(value).forEach((key) => {
    const name = fill(key);
    if (Object.prototype.hasOwnProperty.call(out, name)) throw new Unusable(`key '${name}' is there twice`);
    const settled = settle(value[key], fill, done);
    Object.defineProperty(out, name, { value: settled, enumerable: true, configurable: true, writable: true });
  });
  return out;
}

module.exports = { load, Given, Unusable };
