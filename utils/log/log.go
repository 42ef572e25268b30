// Package log sets up the log of a program from its `logger` keys and offers it as an interface.
//
//	program ─► Logger ─► console (stderr), always
//	                └──► file, when path is set: rotated by size, kept by age and count, compressed
//
// A line carries fields; the names that are used in more than one place are the constants below. Secrets (tokens,
// passwords, payloads) are never passed to a Logger. If the log file cannot be written, the lines go to the console
// only, and the program continues.
package log

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sirupsen/logrus"
	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/baetyl/baetyl/utils/conf"
)

// Names of the fields that several packages use.
const (
	KeyService  = "service"  // name of a service
	KeyInstance = "instance" // name of an instance
	KeyClient   = "clientid" // MQTT client id
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

// Root is the log of a program. Its level may be changed while it is in use.
type Root struct {
	entry
	file *lumberjack.Logger // nil: console only
}

// New returns the log described by c. fields are pairs of a key and a value that every line carries. Zero values in c
// mean the documented defaults.
func New(c Config, fields ...string) *Root { return NewTo(os.Stderr, c, fields...) }

// NewTo is New with another console.
func NewTo(console io.Writer, c Config, fields ...string) *Root {
	l := logrus.New()
	l.Formatter = formatter(c.Format)
	r := &Root{}
	l.Out = console
	if c.Path != "" {
		r.file = File(c.Path, c)
		if err := os.MkdirAll(filepath.Dir(c.Path), 0o755); err != nil {
			fmt.Fprintf(console, "log to console only: create folder of %s: %v\n", c.Path, err)
		} else {
			l.Out = both{console, r.file}
		}
	}
	data := logrus.Fields{}
	for i := 0; i+1 < len(fields); i += 2 {
		data[fields[i]] = fields[i+1]
	}
	r.entry = entry{l.WithFields(data)}
	r.SetLevel(c.Level)
	return r
}

// File returns a writer to the rotated file at path with the limits of c. It opens the file at the first write.
func File(path string, c Config) *lumberjack.Logger {
	d := conf.Default[Config]()
	return &lumberjack.Logger{
		Filename:   path,
		MaxSize:    cmp.Or(c.Size.Max, d.Size.Max),
		MaxAge:     cmp.Or(c.Age.Max, d.Age.Max),
		MaxBackups: cmp.Or(c.Backup.Max, d.Backup.Max),
		Compress:   true,
	}
}

// SetLevel changes the lowest level that is written; an unknown level means info.
func (r *Root) SetLevel(level string) {
	lv, err := logrus.ParseLevel(level)
	if err != nil {
		lv = logrus.InfoLevel
	}
	r.Logger.SetLevel(lv)
}

// Close closes the log file. Lines written later open it again.
func (r *Root) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// Discard is a Logger that writes nothing.
func Discard() Logger { return NewTo(io.Discard, Config{Level: "error"}) }

// both writes to console and file. Neither error is returned: the other one must still get the line.
type both struct{ console, file io.Writer }

func (b both) Write(p []byte) (int, error) {
	_, _ = b.console.Write(p)
	_, _ = b.file.Write(p)
	return len(p), nil
}

// entry makes a logrus entry a Logger: its With methods return a Logger.
type entry struct{ *logrus.Entry }

func (e entry) WithField(key string, value any) Logger { return entry{e.Entry.WithField(key, value)} }
func (e entry) WithError(err error) Logger             { return entry{e.Entry.WithError(err)} }

func formatter(format string) logrus.Formatter {
	const stamp = "2006-01-02T15:04:05.000Z07:00"
	if format == "json" {
		return &logrus.JSONFormatter{TimestampFormat: stamp}
	}
	return &logrus.TextFormatter{DisableColors: true, FullTimestamp: true, TimestampFormat: stamp}
}
