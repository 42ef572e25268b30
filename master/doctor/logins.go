package doctor

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Login is a user of a hub whose password lies in a file of its own, as packages make one.
type Login struct {
	Service      string   `json:"service"`
	Listen       []string `json:"listen"` // addresses of the hub
	User         string   `json:"user"`
	PasswordFile string   `json:"password_file"`      // on the host
	Password     string   `json:"password,omitempty"` // only for whoever asks for it, and may read the file
}

// Logins are those of the application, in its order. It reads the configuration of services, and no password; what it
// cannot read has none. Of the options it needs Workdir, Mode and Application.
func Logins(o Options) (out []Login) {
	for _, s := range o.Application.Services {
		for _, m := range o.modules(s) {
			var listen []string
			addresses, _ := m.value["listen"].([]any)
			for _, a := range addresses {
				listen = append(listen, fmt.Sprint(a))
			}
			users, _ := m.value["principals"].([]any)
			for _, item := range users {
				p, _ := item.(map[any]any)
				password, _ := p["password"].(map[any]any)
				path, _ := password["file"].(string)
				switch {
				case path == "":
					continue
				case filepath.IsAbs(path):
					path = o.onHost(m, path)
				default:
					path = filepath.Join(filepath.Dir(m.path), path)
				}
				out = append(out, Login{Service: s.Name, Listen: listen, User: fmt.Sprint(p["username"]), PasswordFile: path})
			}
		}
	}
	return out
}

// String is the login as people read it, without the password.
func (l Login) String() string {
	return fmt.Sprintf("%s at %s (%s)", l.User, l.Service, strings.Join(l.Listen, ", "))
}
