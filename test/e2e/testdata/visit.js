// One connection to a hub with MQTT.js: node visit.js '<visit as JSON>' prints the outcome as JSON. See visit in
// clients_test.go.
const fs = require('fs');
const mqtt = require('mqtt');

const visit = JSON.parse(process.argv[2]);
const file = (path) => (path ? fs.readFileSync(path) : undefined);
const client = mqtt.connect(visit.url, {
  username: visit.username,
  password: visit.password,
  ca: file(visit.ca),
  cert: file(visit.cert),
  key: file(visit.key),
  protocolVersion: 4,
  reconnectPeriod: 0,
  connectTimeout: 60000,
});

let over = false;
const end = (outcome) => {
  if (over) return;
  over = true;
  console.log(JSON.stringify(outcome));
  client.end(true, () => process.exit(0));
};
client.on('error', (err) => end({ error: String(err.message || err) }));
client.on('close', () => end({ error: 'connection closed' }));
client.on('message', (topic, payload) => end({ received: payload.toString() }));
client.on('connect', () => {
  client.subscribe(visit.topic, { qos: visit.qos }, (err, granted) => {
    if (err || granted[0].qos > 2) return end({ error: 'subscription refused' });
    client.publish(visit.topic, visit.payload, { qos: visit.qos }, (err) => err && end({ error: String(err) }));
  });
});
setTimeout(() => end({ error: 'no message within a minute' }), 60000);
