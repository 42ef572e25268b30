// Package python holds the tests of the Python function runtimes; the runtimes themselves are baetyl_function below
// lib, one source for the packages baetyl-function-python27 and baetyl-function-python36.
//
//	lib, bin/prepare, requirements.txt ──links──► baetyl-function-python27 ──make──► package.zip
//	                                       └────► baetyl-function-python36 ──make──► package.zip
package python
