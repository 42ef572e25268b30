// A plain script instead of a function: plain.js PORT NAME [durable] subscribes to NAME/in, handles each message, and
// publishes the result on NAME/out. Without durable it is what the tutorials of MQTT.js show: messages that arrive while
// the script is not connected are lost.
const mqtt = require('mqtt')
const [port, name, durable] = process.argv.slice(2)
const handler = event => event
const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, {
  clientId: name, clean: !durable, username: 'test', password: 'hahaha',
})
client.on('connect', () => client.subscribe(`${name}/in`, { qos: 1 }))
client.on('message', (topic, payload, packet) => {
  client.publish(`${name}/out`, JSON.stringify(handler(JSON.parse(payload))), { qos: packet.qos })
})
