'use strict';
// Run it with: node test.js

const assert = require('assert');
const { handler } = require('./index');
const event = require('./event.json');

async function test() {
  assert.deepStrictEqual(await handler(event, {}), { device: 'boiler', celsius: 30 });
  await handler({ device: 'boiler' }, {}).then(() => assert.fail('it takes a message without a temperature'),
    e => assert.strictEqual(e.message, 'the message has no number fahrenheit'));
  console.log('ok');
}

test().catch((e) => {
  console.error(e);
  process.exitCode = 1;
});
