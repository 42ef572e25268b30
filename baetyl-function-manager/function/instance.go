package function

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/baetyl/baetyl/baetyl-function-manager/config"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/log"
)

// port is where instances in containers listen.
const port = "50051"

// startTimeout bounds the master's part of a start: it may pull an image.
const startTimeout = 5 * time.Minute

// stopTimeout bounds the stop of one instance: the master gives the instance some time to end by itself.
const stopTimeout = 30 * time.Second

// inspectInterval is how often connect asks the master for the state of a new instance: one that has ended never
// answers.
const inspectInterval = time.Second

// Launcher starts and stops instances through the master.
type Launcher struct {
	Master *baetyl.Master // nil: every start fails with Err
	Err    error          // why there is no master
	Native bool           // instances are processes of this machine, not containers
	Log    log.Logger
}

// Name is the name of a function's instance: <service>.<function>.<id>.
func Name(f config.Function, id int) string {
	return f.Service + "." + f.Name + "." + strconv.Itoa(id)
}

// Start starts an instance and connects to it. It takes as long as the master needs, at most 5 minutes, and the time
// until the instance answers, at most the function's timeout. After an error it stops the instance.
func (l *Launcher) Start(ctx context.Context, f config.Function, id int) (*rpc.Client, error) {
	if l.Master == nil {
		return nil, l.Err
	}
	name := Name(f, id)
	listen, dial := "0.0.0.0:"+port, net.JoinHostPort(name, port)
	if l.Native {
		p, err := l.Master.AvailablePort(ctx)
		if err != nil {
			return nil, err
		}
		listen = net.JoinHostPort("127.0.0.1", p)
		dial = listen
	}
	sctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	env := map[string]string{masterapi.EnvInstanceAddress: listen, masterapi.EnvInstancePipe: "1"}
	for _, old := range masterapi.Legacy[masterapi.EnvInstanceAddress] {
		env[old] = listen // for runtimes older than 0.1.5
	}
	if err := l.Master.StartInstance(sctx, f.Service, name, env); err != nil {
		l.Stop(f, id) // the master may still be starting it
		return nil, err
	}
	c, err := l.connect(ctx, f, name, dial)
	if err != nil {
		l.Stop(f, id)
		return nil, err
	}
	return c, nil
}

// connect waits until the instance takes calls, and gives up early if the master says that the instance has ended.
func (l *Launcher) connect(ctx context.Context, f config.Function, name, address string) (*rpc.Client, error) {
	cfg := rpc.ClientConfig{Address: address, Timeout: f.Timeout, FailFast: true, Pipe: true}
	cfg.Message.Length.Max = f.Message.Length.Max
	cfg.Backoff.Max = f.Backoff.Max
	c, err := rpc.NewClient(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		t := time.NewTicker(inspectInterval)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				if err := l.ended(ctx, f.Service, name); err != nil {
					cancel(err)
				}
			}
		}
	}()
	err = c.Connect(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	cancel(nil)
	<-watched
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// ended says how an instance has ended; nil if it runs, or the master does not say.
func (l *Launcher) ended(ctx context.Context, service, name string) error {
	report, err := l.Master.Inspect(ctx)
	if err != nil {
		return nil // the instance may be fine although the master does not answer
	}
	for _, s := range report.Services {
		for _, i := range s.Instances {
			if s.Name != service || i.Name != name {
				continue
			}
			switch i.Status {
			case masterapi.StatusRestarting, masterapi.StatusFailed, masterapi.StatusExited:
				text := fmt.Sprintf("instance %s has ended (%s)", name, i.Status)
				if i.Error != "" {
					text += ": " + i.Error
				}
				if n := len(i.Output); n > 0 {
					text += ": " + strings.TrimSpace(i.Output[n-1])
				}
				return errors.New(text)
			}
		}
	}
	return nil
}

// Stop stops an instance, whether it runs or not. It makes four attempts, then leaves the instance: the next start of
// an instance with the same name stops it, and so does the next start of the manager.
func (l *Launcher) Stop(f config.Function, id int) {
	if l.Master == nil {
		return
	}
	var err error
	for delay := 100 * time.Millisecond; delay < time.Second; delay *= 2 {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		err = l.Master.StopInstance(ctx, f.Service, Name(f, id))
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
