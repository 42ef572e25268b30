// Package function serves and calls functions: it is the part of the SDK that knows gRPC, for function runtimes and for
// the function manager.
//
//	main ─► Run ─► Serve ─► Server ◄── messages ── Client (in the function manager)
//
// A Server takes gRPC and, without TLS, the pipe of protocol/function at one address; a Client prefers the pipe when it
// is told to. A module that serves no function does not import this package, and so does not link gRPC.
package function

import (
	"context"
	"errors"
	"strconv"

	"google.golang.org/protobuf/proto"

	protocol "github.com/baetyl/baetyl/protocol/function"
	"github.com/baetyl/baetyl/protocol/masterapi"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
	"github.com/baetyl/baetyl/utils/conf"
)

// Message is what functions get and give.
type Message = protocol.FunctionMessage

// Length is a limit of messages, in bytes.
type Length struct {
	Length struct {
		Max conf.Size `yaml:"max" json:"max" default:"4m" validate:"min=1"`
	} `yaml:"length" json:"length"`
}

// Call handles one message and returns the answer. An error that has no gRPC status is the function's own failure: it
// becomes the status Unknown with "Exception calling application: ", which tells the manager that the instance is
// sound.
type Call func(ctx context.Context, m *Message) (*Message, error)

// Run runs a module that is a function: payload in, payload out. A nil result publishes nothing, an error or a panic is
// published as the function's failure. The address comes from the function manager, or from server.address in
// service.yml. It is called once, by main, and ends the process as baetyl.Run does.
func Run(f func(ctx context.Context, m *Message) ([]byte, error)) {
	baetyl.Run(func(ctx baetyl.Context) error {
		return Serve(ctx, func(c context.Context, m *Message) (*Message, error) {
			payload, err := f(c, m)
			if err != nil {
				return nil, err
			}
			out := proto.Clone(m).(*Message)
			out.Payload = payload
			return out, nil
		})
	})
}

// Serve serves call at the address that the function manager or service.yml gives, until the module is asked to end.
// Each change is made to what the file says: it sets Announced, for example.
func Serve(ctx baetyl.Context, call Call, changes ...func(*ServerConfig)) error {
	var cfg struct {
		Server ServerConfig `yaml:"server" json:"server"`
	}
	if err := baetyl.LoadSections(&cfg); err != nil {
		return err
	}
	for _, change := range changes {
		change(&cfg.Server)
	}
	manager := masterapi.Getenv(masterapi.EnvInstanceAddress)
	if manager != "" {
		cfg.Server.Address, cfg.Server.Secret = manager, secret
	}
	if n, err := strconv.Atoi(masterapi.Getenv(masterapi.EnvInstanceConcurrency)); err == nil && n > 0 {
		cfg.Server.Announced = n
	}
	if cfg.Server.Address == "" {
		return errors.New("serve function calls: no address: the function manager sets " + masterapi.EnvInstanceAddress +
			"; without a manager set server.address in " + baetyl.ConfigFile)
	}
	s := NewServer(cfg.Server, call)
	if err := s.Listen(); err != nil {
		return err
	}
	if manager == "" { // otherwise the address is not this file's
		cfg.Server.Announce(ctx.Log())
	}
	ctx.Log().Infof("function runtime listens on %s", s.Addr())
	return s.Serve(ctx.Done())
}
