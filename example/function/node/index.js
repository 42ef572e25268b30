'use strict';
// The function example-function: degrees Fahrenheit in, degrees Celsius out.

exports.handler = async (event) => {
  if (typeof event.fahrenheit !== 'number') throw new TypeError('the message has no number fahrenheit');
  return { device: event.device, celsius: Math.round((event.fahrenheit - 32) / 0.18) / 10 };
};
