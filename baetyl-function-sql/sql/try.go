package sql

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	"github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/logfile"
)

const usage = `usage: baetyl-function-sql                                  serve the function manager
       baetyl-function-sql [-c FILE] test --event JSON      try a function on a message; - reads it from stdin

  -c FILE           configuration (default ` + baetyl.ConfigFile + `)
  --function NAME   which function (default the first)
  --event JSON      the message
  --topic TOPIC     its topic (default t)
  --qos QOS         its QoS (default 0)
`

// Command runs the program's arguments, which are the command test, and returns the exit status: 0 with the result on
// stdout, or with "no match" on stderr; 1 for an error of the configuration, the statement or the message, and for an
// output that cannot be written; 2 for wrong arguments.
func Command(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	said := logfile.NewChecked(stdout)
	status := command(args, stdin, said, stderr)
	if err := said.Err(); err != nil && status == 0 {
		fmt.Fprintf(stderr, "baetyl-function-sql: %v\n", err)
		return 1
	}
	return status
}

func command(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	file, name, event := baetyl.ConfigFile, "", ""
	m := &function.Message{}
	var qos uint
	options := flag.NewFlagSet("", flag.ContinueOnError)
	options.SetOutput(io.Discard)
	options.StringVar(&file, "c", file, "")
	options.StringVar(&name, "function", "", "")
	options.StringVar(&event, "event", "", "")
	options.StringVar(&m.Topic, "topic", "t", "")
	options.UintVar(&qos, "qos", 0, "")
	err := options.Parse(args)
	if rest := options.Args(); err == nil && len(rest) > 0 && rest[0] == "test" {
		err = options.Parse(rest[1:])
	} else if err == nil {
		err = errors.New("the command is missing: test")
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	case err != nil:
	case options.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", options.Arg(0))
	case event == "":
		err = errors.New("--event is missing")
	case qos > 2:
		err = fmt.Errorf("--qos %d is not 0, 1 or 2", qos)
	}
	if err != nil {
		fmt.Fprintf(stderr, "baetyl-function-sql: %v\n%s", err, usage)
		return 2
	}
	m.QOS = uint32(qos)
	if err := tryMessage(file, name, event, m, stdin); err != nil {
		fmt.Fprintf(stderr, "baetyl-function-sql: %v\n", err)
		return 1
	}
	if len(m.Payload) == 0 {
		fmt.Fprintln(stderr, "no match")
		return 0
	}
	fmt.Fprintf(stdout, "%s\n", m.Payload)
	return 0
}

// tryMessage runs a function, the first one if name is empty, on the message m with the payload event. The result is in
// m.
func tryMessage(file, name, event string, m *function.Message, stdin io.Reader) error {
	var cfg config
	if err := conf.Load(file, &cfg, conf.AllowKeys("hub", "logger")); err != nil {
		return err
	}
	m.FunctionName, m.Payload = name, []byte(event)
	if name == "" {
		m.FunctionName = cfg.Functions[0].Name
	}
	if event == "-" {
		var err error
		if m.Payload, err = io.ReadAll(stdin); err != nil {
			return fmt.Errorf("read the message: %w", err)
		}
	}
	if cfg.queries[m.FunctionName] == nil {
		var names []string
		for _, f := range cfg.Functions {
			names = append(names, f.Name)
		}
		return fmt.Errorf("%s: there is no function %q, only %s", file, name, strings.Join(names, ", "))
	}
	_, err := cfg.run(m)
	return err
}
