// Command baetyl-function-sql is a function runtime whose functions are SQL statements; docs/sql.md explains the
// dialect.
//
// Without arguments it serves the function manager. With the command test it tries a statement:
//
//	baetyl-function-sql -c etc/baetyl/service.yml test --event '{"id":1}'
package main

import (
	"os"

	"github.com/baetyl/baetyl/baetyl-function-sql/sql"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
)

func main() {
	if len(os.Args) > 1 {
		os.Exit(sql.Command(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	baetyl.Run(sql.Main)
}
