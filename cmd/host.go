package cmd

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/baetyl/baetyl/cmd/out"
)

// Commands with a file of this computer when they run on another device.
var (
	sends  = []string{"apply", "plan", "validate", "restore"} // their first argument, unless it is -
	brings = []string{"backup", "support-bundle"}             // they run here, and ask there for the file
	stays  = []string{"start"}                                // they run where they are
)

// host is another device, which a command runs on by ssh. Its zero value is this one.
type host struct {
	user, name string
	port       int    // 0: as ssh has it
	program    string // path of baetyl there; empty: the one in PATH, or /usr/local/bin
}

var (
	hostName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:%-]*$`) // no option of ssh, and nothing that a shell reads
	userName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@\\+-]*$`)
)

// Set implements pflag.Value.
func (h *host) Set(text string) error {
	if h.name != "" {
		return errors.New("name one device; for more, write a loop")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "ssh", u.Opaque != "", u.RawQuery != "", u.Fragment != "":
		return errors.New("write ssh://[user@]host[:port][/path/of/baetyl]")
	case !hostName.MatchString(u.Hostname()):
		return fmt.Errorf("%q is no name of a host", u.Hostname())
	}
	set := host{name: u.Hostname(), program: path.Clean("/" + u.Path)}
	if set.program == "/" {
		set.program = ""
	}
	if u.User != nil {
		if _, given := u.User.Password(); given {
			return errors.New("ssh takes no password from a command line; use a key")
		}
		if set.user = u.User.Username(); !userName.MatchString(set.user) {
			return fmt.Errorf("%q is no name of a user", set.user)
		}
	}
	if text := u.Port(); text != "" {
		if set.port, err = strconv.Atoi(text); err != nil || set.port < 1 || set.port > 65535 {
			return fmt.Errorf("port %s is not 1 to 65535", text)
		}
	}
	*h = set
	return nil
}

// String implements pflag.Value.
func (h *host) String() string {
	if h.name == "" {
		return ""
	}
	u := url.URL{Scheme: "ssh", Host: h.name, Path: h.program}
	if strings.Contains(h.name, ":") {
		u.Host = "[" + h.name + "]"
	}
	if h.port != 0 {
		u.Host += ":" + strconv.Itoa(h.port)
	}
	if h.user != "" {
		u.User = url.User(h.user)
	}
	return u.String()
}

// Type implements pflag.Value.
func (h *host) Type() string { return "ssh://[user@]host[:port]" }

// elsewhere tells whether c is to run on another device.
func (e *env) elsewhere(c *cobra.Command) bool {
	return e.host.name != "" && !slices.Contains(brings, c.Name())
}

// runElsewhere runs c with args on the other device, and ends as it does there.
func (e *env) runElsewhere(c *cobra.Command, args []string) error {
	if slices.Contains(stays, c.Name()) {
		return misused("%s runs on the device itself, not over --host", c.CommandPath())
	}
	script, cleanUp := e.host.run(commandLine(c, args)), ""
	if slices.Contains(sends, c.Name()) && len(args) == 1 && args[0] != "-" {
		dir, name, err := e.upload(c.Context(), args[0])
		if err != nil {
			return err
		}
		cleanUp = "dir=" + quote(dir) + `; trap 'rm -rf "$dir"' EXIT; trap 'exit 1' HUP INT TERM; `
		script = e.host.run(commandLine(c, []string{path.Join(dir, name)}))
	}
	in, terminal := e.Stdin.(*os.File)
	terminal = terminal && out.IsTerminal(in) && e.Out.Terminal() != nil
	stdin := e.Stdin
	if !terminal && !reads(c, args) { // it may be the list of a loop
		stdin = nil
	}
	return e.ssh(c.Context(), terminal, cleanUp+script, stdin, e.Out)
}

// reads tells whether a command reads standard input.
func reads(c *cobra.Command, args []string) bool {
	yes := slices.Contains(args, "-")
	c.Flags().Visit(func(f *pflag.Flag) {
		yes = yes || f.Value.String() == "-" || c.Name() == "exec" && f.Name == "stdin" && f.Value.String() == "true"
	})
	return yes
}

// fetch runs a command of brings there, whose file comes as its output.
func (e *env) fetch(ctx context.Context, w io.Writer) error {
	return e.ssh(ctx, false, e.host.run(commandLine(e.used, []string{"-"})), nil, w)
}

// commandLine is c with its flags and args, without --host.
func commandLine(c *cobra.Command, args []string) []string {
	line := strings.Fields(c.CommandPath())[1:]
	c.Flags().Visit(func(f *pflag.Flag) {
		if f.Name == "host" {
			return
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			line = append(line, "--"+f.Name+"="+v)
		}
	})
	return append(append(line, "--"), args...)
}

// run is the script that runs the program there.
func (h *host) run(args []string) string {
	words := []string{quote(h.program)}
	if h.program == "" {
		words = []string{"PATH=$PATH:/usr/local/bin; export PATH; baetyl"}
	}
	for _, a := range args {
		words = append(words, quote(a))
	}
	return strings.Join(words, " ")
}

// quote makes text one word of a shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// ssh runs a script there. Its status is that of the script.
func (e *env) ssh(ctx context.Context, terminal bool, script string, in io.Reader, to io.Writer) error {
	program, err := exec.LookPath("ssh")
	if err != nil {
		return errors.New("--host needs the program ssh, which is not installed: apt-get install openssh-client")
	}
	args := []string{"-T", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=15"}
	if terminal {
		args[0] = "-t"
	}
	if e.host.port != 0 {
		args = append(args, "-p", strconv.Itoa(e.host.port))
	}
	if e.host.user != "" {
		args = append(args, "-l", e.host.user)
	}
	// Whatever the shell of the user there is, sh reads the script.
	args = append(args, "--", e.host.name, "sh -c "+quote(script))
	c := exec.CommandContext(ctx, program, args...)
	c.Stdin, c.Stdout, c.Stderr = in, to, os.Stderr
	if p, ok := to.(*out.Printer); ok && p.Terminal() != nil {
		c.Stdout = p.Terminal() // as it is
	}
	caught := make(chan os.Signal, 8) // more are dropped: it ends by the first
	signal.Notify(caught, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(caught)
	if err := c.Start(); err != nil {
		return fmt.Errorf("run ssh: %w", err)
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case sig := <-caught:
				_ = c.Process.Signal(sig) // an error means that it has ended
			case <-done:
				return
			}
		}
	}()
	err = c.Wait()
	var ended *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &ended):
		return fmt.Errorf("run ssh: %w", err)
	case ended.ExitCode() == 255:
		return fmt.Errorf("ssh has not run the command on %s, or not to its end; its message says why", e.host.name)
	case ended.ExitCode() < 0:
		return fmt.Errorf("ssh was ended: %w", ended)
	}
	return failure{errors.New(""), ended.ExitCode()} // what is wrong was said there
}

// upload puts a file or a folder into a new folder there, and returns that and the name in it.
func (e *env) upload(ctx context.Context, file string) (dir, name string, err error) {
	if _, err := os.Stat(file); err != nil {
		return "", "", err
	}
	name = filepath.Base(file)
	if !regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`).MatchString(name) { // as .. or one with a control character
		name = "file" + filepath.Ext(file)
	}
	var said strings.Builder
	script := `umask 077; dir=$(mktemp -d) && cd "$dir" && tar -xf - && echo "$dir"`
	read, write := io.Pipe()
	go func() { _ = write.CloseWithError(pack(write, file, name)) }() // ends with ssh
	err = e.ssh(ctx, false, script, read, &said)
	_ = read.CloseWithError(io.ErrClosedPipe)
	if err != nil {
		return "", "", fmt.Errorf("send %s to %s: %w", file, e.host.name, err)
	}
	if dir = strings.TrimSpace(said.String()); !path.IsAbs(dir) || strings.ContainsAny(dir, "\n\r") {
		return "", "", fmt.Errorf("send %s to %s: its shell writes more than what it is asked for: %q",
			file, e.host.name, dir)
	}
	return dir, name, nil
}

// pack writes a tar of a file, or of a folder with the files and folders in it.
func pack(w io.Writer, file, name string) error {
	t := tar.NewWriter(w)
	err := filepath.WalkDir(file, func(at string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(at) // a link is what it leads to, as for the command itself
		if err != nil {
			return err
		}
		if d.Type()&os.ModeSymlink != 0 && info.IsDir() || !info.IsDir() && !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no file", at)
		}
		h, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(file, at)
		if err != nil {
			return err
		}
		h.Name, h.Uid, h.Gid, h.Uname, h.Gname = path.Join(name, filepath.ToSlash(rel)), 0, 0, "", ""
		if err := t.WriteHeader(h); err != nil || info.IsDir() {
			return err
		}
		f, err := os.Open(at)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(t, io.LimitReader(f, h.Size)) // one that grows meanwhile; one that shrinks is an error
		return err
	})
	return errors.Join(err, t.Close())
}
