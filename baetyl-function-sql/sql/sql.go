// Package sql is the module baetyl-function-sql, the function runtime for SQL: the handler of a function is a
// statement. It reads etc/baetyl/service.yml; docs/sql.md explains the dialect.
//
//	functions:
//	  - name: sql-filter
//	    handler: 'select qos() as qos, topic() as topic, * where id < 10'
//
//	message ─► Serve ─► config.run ─► eval.Query ─► answer
//
// With arguments the program tries a statement instead; see Command.
package sql

import (
	"context"

	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	"github.com/baetyl/baetyl/sdk/baetyl-go/function"
)

// Main is the module: it serves the function manager until ctx is done. It returns an error if the configuration is
// wrong or it cannot listen.
func Main(ctx baetyl.Context) error {
	var cfg config
	if err := ctx.LoadConfigStrict(&cfg); err != nil {
		return err
	}
	return function.Serve(ctx, func(_ context.Context, m *function.Message) (*function.Message, error) {
		return cfg.run(m)
	}, atOnce)
}

// atOnce asks the function manager for 64 calls at once. Statements keep nothing between calls, so they may run side by
// side, and no call waits while the answer of another one is sent.
func atOnce(c *function.ServerConfig) { c.Announced = 64 }
