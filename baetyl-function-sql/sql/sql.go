// Package sql is the module baetyl-function-sql, the function runtime for SQL: the handler of a function is a
// statement. It reads etc/baetyl/service.yml; docs/sql.md explains the dialect.
//
//	functions:
//	  - name: sql-filter
//	    handler: 'select qos() as qos, topic() as topic, * where id < 10'
//
//	message ─► Serve ─► config.run ─► eval.Query ─► answer
//
// Command is what the program does with arguments: it tries a statement.
package sql

import (
	"context"

	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	"github.com/baetyl/baetyl/sdk/baetyl-go/function"
)

// Main is the module: it serves the function manager until it is asked to end, or says why it cannot.
func Main(ctx baetyl.Context) error {
	var cfg config
	if err := ctx.LoadConfig(&cfg); err != nil {
		return err
	}
	return function.Serve(ctx, func(_ context.Context, m *function.Message) (*function.Message, error) {
		return cfg.run(m)
	}, atOnce)
}

// atOnce asks for calls side by side: a statement neither waits nor keeps anything between calls, so more of them cost
// nothing, and none of them waits for the way of another one's answer.
func atOnce(c *function.ServerConfig) { c.Announced = 64 }
