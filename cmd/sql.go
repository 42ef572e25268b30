package cmd

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/sql/eval"
	"github.com/baetyl/baetyl/utils/sql/parse"
)

func sqlCommand(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "sql", Short: "Try statements of the SQL runtime",
		Example: "  baetyl sql test --sql 'SELECT a WHERE a > 1' --message '{\"a\":2}'",
	}
	c.AddCommand(sqlTestCommand(e))
	return c
}

// statement is what `baetyl sql test` tries.
type statement struct {
	text, file, function string
	message              string
	topic                string
	qos                  uint32
}

func sqlTestCommand(e *env) *cobra.Command {
	var s statement
	c := &cobra.Command{
		Use: "test", Short: "Say what a statement makes of a message, or where it is wrong",
		Annotations: map[string]string{offline: "true"},
		Long: "Say what a statement makes of a message, or where it is wrong. It asks no master, and needs no device.\n" +
			"The statement is --sql, or that of a function in a service.yml. docs/sql.md describes the dialect.",
		Example: "  baetyl sql test --sql 'SELECT a*2 AS b WHERE a > 1' --message '{\"a\":2}'\n" +
			"  baetyl sql test --sql @rule.sql --message @message.json --topic sensors/1\n" +
			"  baetyl sql test --file var/db/baetyl/function-sql-conf/service.yml --function filter --message -",
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) > 0:
				return fmt.Errorf("unexpected argument %q", args[0])
			case (s.text == "") == (s.file == ""):
				return errors.New("say --sql, or --file with a function: one of the two")
			case s.function != "" && s.file == "":
				return errors.New("--function needs --file")
			case !c.Flags().Changed("message"):
				return errors.New("--message is missing")
			case s.text == "-" && s.message == "-":
				return errors.New("stdin is --sql or --message, not both")
			case s.qos > 2:
				return errors.New("--qos: use 0, 1 or 2")
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error { return e.trySQL(s) },
	}
	c.Flags().StringVar(&s.text, "sql", "", "the statement, @FILE, or - for stdin")
	c.Flags().StringVar(&s.file, "file", "", "a service.yml of the SQL runtime")
	c.Flags().StringVar(&s.function, "function", "", "which of its functions (default the first)")
	c.Flags().StringVarP(&s.message, "message", "m", "",
		"the payload of the message: a JSON object, @FILE, or - for stdin")
	c.Flags().StringVar(&s.topic, "topic", "t", "its topic")
	c.Flags().Uint32Var(&s.qos, "qos", 0, "its QoS")
	return c
}

// trySQL runs a statement, and writes its result.
func (e *env) trySQL(s statement) error {
	message, err := e.data(s.message)
	if err != nil {
		return fmt.Errorf("--message: %w", err)
	}
	text := ""
	if s.file != "" {
		text, err = s.handler()
	} else {
		var data []byte
		data, err = e.data(s.text)
		text = string(data)
	}
	if err != nil {
		return err
	}
	parsed, err := parse.Parse(text)
	if err != nil {
		return located(text, err)
	}
	query, err := eval.Compile(parsed)
	if err != nil {
		return located(text, err)
	}
	result, err := query.Run(eval.Message{Topic: s.topic, QOS: s.qos, Payload: message, Now: time.Now()})
	if err != nil {
		return located(text, err)
	}
	if len(result) == 0 {
		fmt.Fprintln(e.Stderr, "baetyl: no match: the condition does not hold, and a rule publishes nothing")
		return nil
	}
	if e.Out.Terminal() == nil {
		_, err = fmt.Fprintf(e.Out, "%s\n", result)
		return err
	}
	e.Out.Says("%s", string(result))
	return nil
}

// handler is the statement of a function in a service.yml.
func (s statement) handler() (string, error) {
	var cfg struct {
		Functions []struct {
			Name    string `yaml:"name" json:"name"`
			Handler string `yaml:"handler" json:"handler"`
		} `yaml:"functions" json:"functions" validate:"nonzero"`
	}
	if err := conf.Load(s.file, &cfg, conf.AllowOthers()); err != nil {
		return "", misconfigured(err)
	}
	var names []string
	for _, f := range cfg.Functions {
		if s.function == "" || f.Name == s.function {
			return f.Handler, nil
		}
		names = append(names, f.Name)
	}
	return "", fmt.Errorf("%s: there is no function %q, only %s", s.file, s.function, strings.Join(names, ", "))
}

// maxLine is how many characters of a line of a statement are shown around an error.
const maxLine = 60

// located adds the line of a statement that an error is about, with a mark below the place.
func located(text string, err error) error {
	var at *parse.Error
	if !errors.As(err, &at) {
		return err
	}
	lines := strings.Split(text, "\n")
	if at.Pos.Line < 1 || at.Pos.Line > len(lines) {
		return err
	}
	line := []rune(strings.ToValidUTF8(lines[at.Pos.Line-1], "?"))
	col := min(max(at.Pos.Col-1, 0), len(line))
	from, to := max(0, col-maxLine), min(len(line), col+maxLine)
	before := strings.ReplaceAll(out.Harmless(string(line[from:col])), "\t", " ")
	return fmt.Errorf("%w\n  %s%s\n  %s^", err, before, out.Harmless(string(line[col:to])),
		strings.Repeat(" ", out.Width(before)))
}
