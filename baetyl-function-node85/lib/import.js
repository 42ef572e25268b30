'use strict';
// Loads an ES module. It is a file of its own since Node before 12 does not take its syntax.

module.exports = (url) => import(url);
