'use strict';
// TLS on Node 8 and 10. The HTTP/2 server of Node 8 loses what a client sends together with the end of its TLS
// handshake: one connection in six hangs. Both take TLS 1.0, and grpc-js has no option against it. So there a TLS
// server in the same process passes connections on to the gRPC server. Node 12 and later do not need this.
//
//   client --TLS--> here --unix socket in a private directory--> gRPC server

const crypto = require('crypto');
const fs = require('fs');
const net = require('net');
const os = require('os');
const path = require('path');
const tls = require('tls');

const major = Number(process.versions.node.split('.')[0]);
const needed = major < 12;

// privateAddress returns an address that only this user can reach; it is gone when the process ends.
function privateAddress() {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'baetyl-function-')); // mode 0700
  const file = path.join(directory, 'grpc.sock');
  process.on('exit', () => {
    try {
      fs.unlinkSync(file);
    } catch (e) { // never opened
    }
    fs.rmdirSync(directory);
  });
  return `unix:${file}`;
}

// listen opens address (<host>:<port>) for TLS and passes the decrypted bytes on to inner. It calls done(error), or
// done(null).
function listen(address, pem, inner, done) {
  const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(address);
  const { SSL_OP_NO_SSLv2, SSL_OP_NO_SSLv3, SSL_OP_NO_TLSv1, SSL_OP_NO_TLSv1_1 } = crypto.constants;
  const secureOptions = SSL_OP_NO_SSLv2 | SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1;
  const options = { key: pem.key, cert: pem.cert, ALPNProtocols: ['h2'], secureOptions };
  if (pem.ca) Object.assign(options, { ca: pem.ca, requestCert: true, rejectUnauthorized: true });
  const server = tls.createServer(options, (outside) => {
    const inside = net.connect(inner.slice('unix:'.length));
    outside.on('error', () => inside.destroy());
    inside.on('error', () => outside.destroy());
    outside.pipe(inside).pipe(outside);
  });
  server.once('error', done);
  server.listen(Number(port), host, () => {
    server.removeListener('error', done);
    done(null);
  });
}

module.exports = { major, needed, privateAddress, listen };
