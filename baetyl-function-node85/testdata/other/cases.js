'use strict';

const beside = require('./beside');

exports.echo = (event, context, callback) => callback(null, { from: beside.name });
