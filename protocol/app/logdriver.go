package app

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// logDrivers are docker's own. none is not among them: the file of the output is made from what docker keeps.
var logDrivers = []string{
	DefaultLogDriver, "local", "journald", "syslog", "gelf", "fluentd", "awslogs", "splunk", "gcplogs",
}

// DefaultLogDriver is the one of a service that names none.
const DefaultLogDriver = "json-file"

// logOptions are all that a driver takes, of those which keep the output on the device.
var logOptions = map[string][]string{
	DefaultLogDriver: {"max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag", "mode",
		"max-buffer-size"},
	"local": {"max-size", "max-file", "compress", "mode", "max-buffer-size"},
}

func (l Log) check() error {
	driver := l.Driver
	if driver == "" {
		driver = DefaultLogDriver
	}
	if driver == "none" {
		const text = "driver: none would leave nothing for var/log/baetyl/services; write local with max-size: 1m for little"
		return errors.New(text)
	}
	if !slices.Contains(logDrivers, driver) {
		return fmt.Errorf("driver: must be %s; found %q", strings.Join(logDrivers, ", "), driver)
	}
	known, ok := logOptions[driver]
	if !ok { // which options there are depends on the daemon
		return nil
	}
	for _, name := range sortedKeys(l.Options) {
		if !slices.Contains(known, name) {
			return fmt.Errorf("options.%s: the driver %s does not have it; it has %s", name, driver, strings.Join(known, ", "))
		}
	}
	return nil
}
