package cmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// module is what a command asks at the admin socket of a service, through the master: a hub, a function manager.
type module struct {
	kind    string // masterapi.ModuleHub, …
	service string // as --service says; empty: the only one that answers
}

// flags adds --service to a command.
func (m *module) flags(e *env, c *cobra.Command) {
	c.Flags().StringVar(&m.service, "service", "", "which "+m.kind+", where there are several")
	_ = c.RegisterFlagCompletionFunc("service", e.completeServices) // the flag is there
}

// ask lets run ask the module. path makes a path of the master of one of the module.
func (m *module) ask(ctx context.Context, e *env,
	run func(ctx context.Context, c *http.Client, path func(string) string) error) error {
	return e.ask(ctx, func(ctx context.Context, c *http.Client) error {
		name, err := m.find(ctx, c)
		if err != nil {
			return err
		}
		return run(ctx, c, func(path string) string { return masterapi.PathServiceAdmin(name, path) })
	})
}

// find returns the service of the module.
func (m *module) find(ctx context.Context, c *http.Client) (string, error) {
	if m.service != "" {
		return m.service, nil
	}
	var all masterapi.Modules
	if err := twice(func() error { return c.Get(ctx, masterapi.PathModules, &all) }); err != nil {
		return "", err
	}
	var found, silent []string
	for _, x := range all.Items {
		switch {
		case x.Module == m.kind:
			found = append(found, x.Service)
		case x.Error != "":
			silent = append(silent, fmt.Sprintf("service %s does not say what it is: %s", x.Service, x.Error))
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", misused("there are several: %s; choose one with --service", strings.Join(found, ", "))
	case len(silent) > 0:
		return "", fmt.Errorf("no %s answers: %s", m.kind, strings.Join(silent, "; "))
	}
	return "", fmt.Errorf("no %s answers: it may be starting or stopped, be of an older version, or have no admin.address"+
		" (baetyl ps says what runs; --service NAME why one does not answer)", m.kind)
}

// mostData is how many bytes of payload a request of a person has: in base64 they fit into its body.
const mostData = 768 << 10

// dataFlag adds --data to a command.
func dataFlag(c *cobra.Command, to *string) {
	c.Flags().StringVarP(to, "data", "d", "", "the payload: a text, @FILE, or - for stdin")
}

// data is what --data means.
func (e *env) data(flag string) ([]byte, error) {
	from := e.Stdin
	if path, ok := strings.CutPrefix(flag, "@"); ok {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("--data: %w", err)
		}
		defer f.Close()
		from = f
	} else if flag != "-" {
		from = strings.NewReader(flag)
	}
	data, err := io.ReadAll(io.LimitReader(from, mostData+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("--data: %w", err)
	case len(data) > mostData:
		return nil, misused("--data: has more than %d bytes, which a request cannot have", mostData)
	}
	return data, nil
}
