// Package node holds the tests of the Node function runtime, which itself is the JavaScript below lib.
//
//	lib, bin, package.json, package-lock.json ──make──► package.zip ──bin/prepare, at the installation──► node_modules
package node
