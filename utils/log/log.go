// Package log sets up the log of a program from its `logger` keys and offers it as an interface.
//
//	program ─► Logger ─► console (stderr), always
//	                └──► file, when path is set: rotated by size, kept by age and count, compressed
//
// A line carries fields; the names that are used in more than one place are the constants below. Secrets (tokens,
// passwords, payloads) are never passed to a Logger.
//
// Nothing that decides waits for a console that nobody reads, or for a disk: lines go through a bounded buffer, of
// which the oldest are dropped and counted (utils/logfile). As long as both work, a line is written before the call
// returns: it is there when the program crashes next. If the log file cannot be written, the console says so once.
package log

import (
	"io"

	"github.com/sirupsen/logrus"

	"github.com/baetyl/baetyl/utils/logfile"
)

// Names of the fields that several packages use.
const (
	KeyService  = "service"  // name of a service
	KeyInstance = "instance" // name of an instance
	KeyClient   = "clientid" // MQTT client id
	KeyUser     = "user"     // user name of an MQTT client
	KeyTopic    = "topic"    // MQTT topic or filter
	KeyAddress  = "address"  // of a listener or peer
	KeyPID      = "pid"      // process id
	KeyReason   = "reason"   // why a state changed
)

// Config is the `logger` section ("Baetyl Configuration Interpretation").
type Config struct {
	// file; empty: console only
	Path string `yaml:"path" json:"path"`
	// lowest level that is written
	Level  string `yaml:"level" json:"level" default:"info" validate:"oneof=debug|info|warn|error"`
	Format string `yaml:"format" json:"format" default:"text" validate:"oneof=text|json"` // of file and console
	// days that a rotated file is kept
	Age Max `yaml:"age" json:"age" default:"{\"max\":15}"`
	// megabytes after which the file is rotated
	Size Max `yaml:"size" json:"size" default:"{\"max\":50}"`
	// rotated files that are kept
	Backup Max `yaml:"backup" json:"backup" default:"{\"max\":15}"`
}

// Max is a limit, at least 1.
type Max struct {
	Max int `yaml:"max" json:"max" validate:"min=1"`
}

// Logger writes lines. It may be used from any goroutine.
type Logger interface {
	WithField(key string, value any) Logger
	WithError(err error) Logger
	Debugf(format string, args ...any)
	Infof(format string, args ...any)
	Warnf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any) // writes and ends the program with status 1
	Debugln(args ...any)
	Infoln(args ...any)
	Warnln(args ...any)
	Errorln(args ...any)
	Fatalln(args ...any) // as Fatalf
}

// Discard is a Logger that writes nothing.
func Discard() Logger { return NewTo(io.Discard, Config{Level: "error"}) }

// entry is a Logger over logrus. Its fields are put together when a line is written: most lines are of a level that is
// not, and would cost a map for each field.
type entry struct {
	root   *logrus.Entry
	fields *field // the newest
}

type field struct {
	key   string
	value any
	older *field
}

func (e entry) WithField(key string, value any) Logger {
	return entry{e.root, &field{key, value, e.fields}}
}

func (e entry) WithError(err error) Logger { return e.WithField(logrus.ErrorKey, err) }

// full has the fields; of two with one key the newer one.
func (e entry) full() *logrus.Entry {
	data := logrus.Fields{}
	for f := e.fields; f != nil; f = f.older {
		if _, known := data[f.key]; !known {
			data[f.key] = f.value
		}
	}
	return e.root.WithFields(data)
}

func (e entry) printf(level logrus.Level, format string, args []any) {
	if e.root.Logger.IsLevelEnabled(level) {
		e.full().Logf(level, format, args...)
	}
}

func (e entry) println(level logrus.Level, args []any) {
	if e.root.Logger.IsLevelEnabled(level) {
		e.full().Logln(level, args...)
	}
}

func (e entry) Debugf(format string, args ...any) { e.printf(logrus.DebugLevel, format, args) }
func (e entry) Infof(format string, args ...any)  { e.printf(logrus.InfoLevel, format, args) }
func (e entry) Warnf(format string, args ...any)  { e.printf(logrus.WarnLevel, format, args) }
func (e entry) Errorf(format string, args ...any) { e.printf(logrus.ErrorLevel, format, args) }
func (e entry) Fatalf(format string, args ...any) { e.full().Fatalf(format, args...) }
func (e entry) Debugln(args ...any)               { e.println(logrus.DebugLevel, args) }
func (e entry) Infoln(args ...any)                { e.println(logrus.InfoLevel, args) }
func (e entry) Warnln(args ...any)                { e.println(logrus.WarnLevel, args) }
func (e entry) Errorln(args ...any)               { e.println(logrus.ErrorLevel, args) }
func (e entry) Fatalln(args ...any)               { e.full().Fatalln(args...) }

func formatter(format string) logrus.Formatter {
	if format == "json" {
		return &logrus.JSONFormatter{TimestampFormat: logfile.Stamp}
	}
	return &logrus.TextFormatter{DisableColors: true, FullTimestamp: true, TimestampFormat: logfile.Stamp}
}
