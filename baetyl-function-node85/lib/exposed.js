'use strict';
// Says whether other hosts can read along, as the servers in Go do (utils/cert).

const quad = '127(\\.\\d+){3}';
const local = new RegExp(`^(unix:.*|(localhost\\.?|${quad}|\\[::1(%.*)?\\]|\\[::ffff:${quad}\\]):\\d+)$`, 'i');

// say logs what is to be said of the section server, once. An address of the environment is its sender's.
function say(log, server) {
  if (server.cert && server.insecure) {
    log.warn('server.insecure: has no effect, since server.cert turns TLS on; leave one of the two out');
  } else if (server.cert || !server.own || local.test(server.address)) {
    return;
  } else if (server.insecure) {
    log.info(`other hosts can reach ${server.address}, which is plain tcp, as server.insecure says`);
  } else {
    log.warn(`server.address: other hosts can reach ${server.address}, which is plain tcp: who reads along has all `
      + 'that is sent; set server.cert and server.key, listen on 127.0.0.1, or say with server.insecure: true that it '
      + 'is meant');
  }
}

module.exports = { say };
