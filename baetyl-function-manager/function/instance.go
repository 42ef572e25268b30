package function

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/baetyl/baetyl/baetyl-function-manager/config"
	protocol "github.com/baetyl/baetyl/protocol/function"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
)

// port is where instances in containers listen.
const port = "50051"

// startTimeout bounds the master's part of a start: it may pull an image.
const startTimeout = 5 * time.Minute

// inspectTimeout bounds a question to the master.
const inspectTimeout = 5 * time.Second

// stopTimeout bounds the stop of one instance: the master gives the instance some time to end by itself.
const stopTimeout = 30 * time.Second

// Launcher starts and stops instances through the master.
type Launcher struct {
	Master *baetyl.Master // nil: every start fails with Err
	Err    error          // why there is no master
	Native bool           // instances are processes of this machine, not containers
	Log    log.Logger

	ends ends
}

// Name is the name of a function's instance: <service>.<function>.<id>.
func Name(f config.Function, id int) string {
	return f.Service + "." + f.Name + "." + strconv.Itoa(id)
}

// Start starts an instance and connects to it. It takes as long as the master needs, at most 5 minutes, and the time
// until the instance answers, at most instance.starttimeout. After an error it stops the instance.
func (l *Launcher) Start(ctx context.Context, f config.Function, id int) (*rpc.Client, error) {
	if l.Master == nil {
		return nil, l.Err
	}
	name := Name(f, id)
	listen, dial := "0.0.0.0:"+port, net.JoinHostPort(name, port)
	if l.Native {
		address, err := l.address(ctx, f, name)
		if err != nil {
			return nil, err
		}
		listen, dial = address, address
	}
	sctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	secret := protocol.NewSecret()
	env := map[string]string{
		masterapi.EnvInstanceAddress: listen, masterapi.EnvInstancePipe: "1", masterapi.EnvInstanceSecret: secret,
	}
	if n := f.Instance.Concurrency; n > 0 {
		env[masterapi.EnvInstanceConcurrency] = strconv.Itoa(n)
	}
	for _, old := range masterapi.Legacy[masterapi.EnvInstanceAddress] {
		env[old] = listen // for runtimes older than 0.1.5
	}
	if err := l.Master.StartInstance(sctx, f.Service, name, env); err != nil {
		if answer := new(http.Error); !errors.As(err, &answer) {
			l.Stop(f, id, true) // the master may still be starting it; when it has answered, nothing is left
		}
		return nil, err
	}
	c, err := l.connect(ctx, f, name, dial, secret)
	if err != nil {
		l.Stop(f, id, true)
		return nil, err
	}
	return c, nil
}

// address is where an instance listens in native mode.
func (l *Launcher) address(ctx context.Context, f config.Function, name string) (string, error) {
	address, err := l.Master.Address(ctx, f.Service, name)
	path, ok := strings.CutPrefix(address, "unix:")
	if err != nil || !ok {
		return address, err
	}
	if _, err := os.Stat(filepath.Dir(filepath.Dir(path))); err == nil {
		return address, nil
	}
	// A master of an earlier version has started this manager, which does not see the folder.
	p, err := l.Master.AvailablePort(ctx)
	return net.JoinHostPort("127.0.0.1", p), err
}

// connect waits until the instance takes calls, and gives up at once when the master says that it has ended.
func (l *Launcher) connect(ctx context.Context, f config.Function, name, address, secret string) (*rpc.Client, error) {
	cfg := rpc.ClientConfig{
		Address: address, Secret: conf.Secret(secret), Timeout: f.Timeout, Start: f.Instance.StartTimeout,
		FailFast: true, Pipe: true,
	}
	cfg.Message.Length.Max = f.Message.Length.Max
	cfg.Backoff.Max = f.Backoff.Max
	c, err := rpc.NewClient(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	forget := l.ends.watch(l.Master, f.Service, name, cancel)
	err = c.Connect(ctx)
	forget()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Stop stops an instance, whether it runs or not; kill is for one that hangs, and gets no time to end by itself. It
// makes four attempts, then leaves the instance: the next start of an instance with the same name stops it, and so does
// the next start of the manager.
func (l *Launcher) Stop(f config.Function, id int, kill bool) {
	if l.Master == nil {
		return
	}
	stop := l.Master.StopInstance
	if kill {
		stop = l.Master.KillInstance
	}
	var err error
	for delay := 100 * time.Millisecond; delay < time.Second; delay *= 2 {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		err = stop(ctx, f.Service, Name(f, id))
		cancel()
		if err == nil {
			return
		}
		if refused := new(http.Error); errors.As(err, &refused) && refused.Status == 401 {
			return // another master runs by now: it has stopped the instance, and will stop this manager
		}
		time.Sleep(delay)
	}
	l.Log.WithField(log.KeyInstance, Name(f, id)).WithError(err).
		Warnf("instance is not stopped; the next start of this instance or of the manager stops it")
}

// Clean stops the instances that an earlier manager left, for example because it was killed: those of the functions'
// services whose names have the form of Name, whatever the id. It tries all of them and returns the errors of all.
func (l *Launcher) Clean(ctx context.Context, functions []config.Function) error {
	if l.Master == nil {
		return l.Err
	}
	report, err := l.Master.Inspect(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, s := range report.Services {
		for _, i := range s.Instances {
			if !left(functions, s.Name, i.Name) {
				continue
			}
			l.Log.WithField(log.KeyService, s.Name).WithField(log.KeyInstance, i.Name).
				Infof("stopping an instance of an earlier manager")
			if err := l.Master.StopInstance(ctx, s.Name, i.Name); err != nil {
				failed = append(failed, err)
			}
		}
	}
	return errors.Join(failed...)
}

// left tells whether an instance has the name of one of functions.
func left(functions []config.Function, service, instance string) bool {
	for _, f := range functions {
		number, ok := strings.CutPrefix(instance, f.Service+"."+f.Name+".")
		if _, err := strconv.ParseUint(number, 10, 32); ok && err == nil && f.Service == service {
			return true
		}
	}
	return false
}
