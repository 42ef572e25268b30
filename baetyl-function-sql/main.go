// Command baetyl-function-sql is the function runtime for SQL: the handler of a function is a statement. It reads
// etc/baetyl/service.yml; docs/sql.md explains the dialect.
//
//	functions:
//	  - name: sql-filter
//	    handler: 'select qos() as qos, topic() as topic, * where id < 10'
//
// Without arguments it serves the function manager. With the command test it tries a statement:
//
//	baetyl-function-sql -c etc/baetyl/service.yml test --event '{"id":1}'
package main

import (
	"context"
	"os"

	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
)

func main() {
	if len(os.Args) > 1 {
		os.Exit(try(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	baetyl.Run(func(ctx baetyl.Context) error {
		var cfg config
		if err := ctx.LoadConfig(&cfg); err != nil {
			return err
		}
		return baetyl.ServeFunction(ctx, func(_ context.Context, m *baetyl.FunctionMessage) (*baetyl.FunctionMessage, error) {
			return cfg.run(m)
		}, atOnce)
	})
}

// atOnce asks for calls side by side: a statement neither waits nor keeps anything between calls, so more of them cost nothing, and
// none of them waits for the way of another one's answer.
func atOnce(c *baetyl.FServerConfig) { c.Announced = 64 }
