// What people write instead of a function: plain.js PORT NAME subscribes to NAME/in, handles, publishes on NAME/out.
const mqtt = require('mqtt')
const [port, name] = process.argv.slice(2)
const handler = event => event
const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { clientId: name, username: 'test', password: 'hahaha' })
client.on('connect', () => client.subscribe(`${name}/in`, { qos: 1 }))
client.on('message', (topic, payload, packet) => {
  client.publish(`${name}/out`, JSON.stringify(handler(JSON.parse(payload))), { qos: packet.qos })
})
