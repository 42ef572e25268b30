'use strict';
// Calls over the pipe: frames on a plain connection, for a function manager that asks for it. gRPC costs several times
// the work of a call, and time and memory at the start, and an instance of the function manager does not need what it
// adds.
//
//   caller --> hello --> frame: length, number of the call, code, body --> calls --> frame: the same number, code, body
//
// docs/function-pipe.md says what the frames mean. With a secret both sides prove in the hello that they know it.

const crypto = require('crypto');
const fs = require('fs');
const net = require('net');
const p = require('./primordials');
const guard = require('./guard');
const { Connection } = require('./connection');

const create = net._createServerHandle;
const BACKLOG = 511; // connections that nobody has accepted yet
const STRANGERS_MAX = 16; // connections that have not said their hello yet
const PATH_MAX = 107; // bytes of the path of a unix socket

// Server serves calls. It uses the handles below Node's net, which are not documented and the same from Node 8 to 22:
// the layers above live on what user code can replace.
class Server {
  // The address is bound here, before user code is loaded; nobody can connect until listen.
  constructor(calls, config) {
    this.calls = calls;
    this.config = config;
    // Node before 11.6 has no keys; later ones make one of a text by what user code can replace.
    const keys = config.secret && crypto.createSecretKey;
    this.key = keys ? crypto.createSecretKey(Buffer.from(config.secret)) : config.secret;
    this.connections = new p.SafeSet();
    this.strangers = new p.SafeSet(); // of them, those whose hello has not ended
    this.accept = p.sealed((error, handle) => this.take(handle));
    this.server = net.createServer();
    this.handle = null;
    this.error = null;
    try {
      this.handle = bound(this.place(config.address));
    } catch (e) { // a path that is too long
      this.error = e;
    }
  }

  // listen opens the address. It calls done(error), or done().
  listen(done) {
    const { address } = this.config;
    const failed = (e) => done(new Error(`server.address: listen on ${address}: ${e.message}; is it in use?`));
    if (this.error) {
      failed(this.error);
      return;
    }
    if (this.handle) {
      this.handle.onconnection = this.accept;
      if (!this.handle.listen(BACKLOG)) {
        done();
        return;
      }
      this.handle.close();
    }
    this.server.once('error', failed); // the usual way finds names of hosts, and says what is wrong
    try {
      this.server.listen(this.place(address), () => {
        this.handle = this.server._handle;
        this.handle.onconnection = this.accept;
        done();
      });
    } catch (e) { // a port that is no port
      failed(e);
    }
  }

  place(address) {
    if (!address.startsWith('unix:')) {
      const colon = address.lastIndexOf(':');
      const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
      return { port: Number(address.slice(colon + 1)), host: host || undefined };
    }
    const path = pathOf(address);
    if (Buffer.byteLength(path) > PATH_MAX) {
      throw new Error(`the path of a unix socket has at most ${PATH_MAX} bytes, this one ${Buffer.byteLength(path)}`);
    }
    removeStale(path);
    return { path };
  }

  // take begins a connection. Node before 10 calls it without a handle after an error.
  take(handle) {
    if (!handle) return;
    const connection = new Connection(this, handle);
    this.connections.add(connection);
    this.strangers.add(connection);
    if (this.strangers.size > STRANGERS_MAX) p.eldest(this.strangers).end();
  }

  // stop takes no new calls, waits at most so many milliseconds for the running ones, and calls done().
  stop(milliseconds, done) {
    this.handle.close();
    let open = true;
    const end = () => {
      if (!open) return;
      open = false;
      this.connections.forEach((c) => c.end());
      done();
    };
    p.later(end, milliseconds);
    this.calls.stop(() => { // each answer has been handed to its connection
      let left = this.connections.size;
      if (!left) end();
      this.connections.forEach((c) => c.finish(() => {
        left -= 1;
        if (!left) end();
      }));
    });
  }

  // lost: user code has closed the descriptor of a connection. Nothing comes from it any more, and the number may be
  // another file's soon, so the instance ends; the function manager starts another one.
  lost(e) {
    this.calls.log.error(`code of a function has closed the connection to the function manager: ${e.message}`);
    guard.end(1);
  }
}

p.rootless(Server);

// bound returns a handle that is bound to a path or an address, null if it can't be.
function bound({ path, host, port }) {
  const version = net.isIP(host || '');
  if (path === undefined && (!version || !(port > 0 && port < 65536))) return null;
  const handle = path === undefined ? create(host, port, version) : create(path, -1, -1);
  return typeof handle === 'number' ? null : handle;
}

function pathOf(address) {
  return address.slice('unix:'.length).replace(/^\/\/(?=\/)/, '');
}

// removeStale removes the socket of an earlier life of the instance.
function removeStale(path) {
  try {
    if (fs.lstatSync(path).isSocket()) fs.unlinkSync(path);
  } catch (e) {
    if (e.code !== 'ENOENT') throw e;
  }
}

module.exports = { Server };
