// Package manager is the module baetyl-function-manager. It creates and runs the functions, the rules that use them,
// the gRPC server, the metrics and the admin interface. It reads etc/baetyl/service.yml; docs/function-manager.md
// explains the keys.
//
//	rule ──► function ──► instance      each rule is a client of the hub, each function a pool of instances
//	gRPC server ─┘
package manager

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/baetyl/baetyl/baetyl-function-manager/config"
	"github.com/baetyl/baetyl/baetyl-function-manager/function"
	"github.com/baetyl/baetyl/baetyl-function-manager/rule"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	"github.com/baetyl/baetyl/utils/metrics"
	"github.com/baetyl/baetyl/utils/run"
)

// Main is the module: it runs until ctx is done. It returns an error if the configuration is wrong or a part fails.
func Main(ctx baetyl.Context) error {
	var cfg config.Config
	if err := ctx.LoadConfigStrict(&cfg); err != nil {
		return err
	}
	m, err := build(ctx, cfg, oneProcessor())
	if err != nil {
		return err
	}
	m.clean(ctx)
	var g run.Group // stopped in the reverse order: no more calls, then no more messages, then the instances
	g.Add("functions", run.Together(m.functions))
	g.Add("rules", run.Together(m.rules))
	if cfg.Server.Address != "" {
		if err := m.open(&g, cfg.Server, ctx.Log()); err != nil {
			return err
		}
	}
	m.measure(ctx, &g, cfg.Metrics)
	m.administer(&g, cfg.Admin, ctx.Log())
	return g.Run(ctx.Done())
}

// manager is the functions and the rules that use them.
type manager struct {
	launcher  *function.Launcher
	functions []*function.Function
	byName    map[string]*function.Function
	rules     []*rule.Rule
	budget    *rule.Budget
	page      http.Handler // of the numbers
}

// oneProcessor lets the manager use one processor at a time, and returns how many there are. Handing a message on takes
// a few microseconds, less than waking another thread for a part of it: with two processors each message wakes up twice
// as many threads, and they take the time from hub and runtimes. GOMAXPROCS in the environment says otherwise.
func oneProcessor() (processors int) {
	processors = runtime.GOMAXPROCS(0)
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	return processors
}

// build creates the functions and rules. None runs yet.
func build(ctx baetyl.Context, cfg config.Config, processors int) (*manager, error) {
	hub := ctx.Config().Hub
	if hub.Address == "" && len(cfg.Rules) > 0 {
		return nil, fmt.Errorf("create hub client: hub not configured: set hub.address in %s", baetyl.ConfigFile)
	}
	ids, err := cfg.ClientIDs(hub)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", baetyl.ConfigFile, err)
	}
	m := &manager{
		launcher: &function.Launcher{Native: ctx.IsNative(), Log: ctx.Log()},
		byName:   map[string]*function.Function{},
	}
	m.page = metrics.Page(m)
	m.launcher.Master, m.launcher.Err = ctx.Master()
	// one more than there are processors, since a start also waits for the master
	starter := function.Limit(m.launcher, processors+1)
	for _, f := range cfg.Functions {
		fn := function.New(f, starter, ctx.Log())
		m.functions = append(m.functions, fn)
		m.byName[f.Name] = fn
	}
	m.budget = rule.NewBudget(cfg.Message.Waiting.Max.Int())
	for i, r := range cfg.Rules {
		fn := m.byName[r.Function.Name]
		info := hub
		info.ClientID = ids[i]
		rl, err := rule.New(r, fn.Config(), fn, info, cfg.Message.Length.Max.Int(), m.budget, ctx.Log())
		if err != nil {
			return nil, fmt.Errorf("%s: hub.%w", baetyl.ConfigFile, err)
		}
		m.rules = append(m.rules, rl)
	}
	return m, nil
}

// cleanTimeout bounds the clean-up at the start.
const cleanTimeout = 30 * time.Second

// clean stops the instances that an earlier manager left, since no rule would use them. If that fails, the manager
// works all the same.
func (m *manager) clean(ctx baetyl.Context) {
	c, cancel := context.WithTimeout(ctx.Done(), cleanTimeout)
	defer cancel()
	var all []config.Function
	for _, f := range m.functions {
		all = append(all, f.Config())
	}
	if err := m.launcher.Clean(c, all); err != nil {
		ctx.Log().WithError(err).Warnf("instances of an earlier manager are not stopped and may still run")
	}
}
