//go:build unix

package keeper

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// Variables of the manager of services that has started this program, as sd_notify(3) and sd_watchdog_enabled(3) have
// them. They are for the keeper alone: neither masters nor services inherit them.
const (
	envNotify      = "NOTIFY_SOCKET"
	envWatchdog    = "WATCHDOG_USEC"
	envWatchdogPID = "WATCHDOG_PID"
)

// notifier tells that manager how things are:
//
//	starting ─first master has started the application─► ready ◄─► reloading (SIGHUP)
//	    └──────────────────────── stop ──────────────────► stopping
//
// What a master goes through does not change this: while one crashes, or another is tried, this program is ready.
// Nobody waits for the manager: what it does not take now is told later, and only the newest of it. The loop calls all
// methods.
type notifier struct {
	k      *supervisor
	to     string        // address of its socket; empty: there is none
	life   time.Duration // without a sign of life after which the manager ends this program; 0: it does not look
	want   news
	told   news
	retry  *time.Timer // nil: nothing waits
	failed bool        // which is in the log once
	send   func(text string) error
}

// news are what the manager is told of.
type news struct {
	phase  phase
	reload int64 // when the last reload began, in microseconds of the monotonic clock; 0: there was none
	status string
}

type phase int

const (
	isStarting phase = iota
	isReady
	isReloading
	isStopping
)

const (
	notifyRetry = time.Second      // before what could not be told is told again
	extendEvery = 10 * time.Second // between requests for more time to stop
	extendBy    = time.Minute      // that each asks for, from then on
	maxStatus   = 200              // bytes of a status
)

// newNotifier takes the variables of the environment. A candidate of a version without a keeper is not the process that
// the manager listens to.
func newNotifier(k *supervisor) *notifier {
	n := &notifier{k: k, to: os.Getenv(envNotify)}
	n.send = func(text string) error { return sendDatagram(n.to, text) }
	pid, isSet := os.LookupEnv(envWatchdogPID)
	usec, err := strconv.ParseInt(os.Getenv(envWatchdog), 10, 64)
	switch {
	case k.self, n.to == "":
		n.to = ""
	case err != nil || usec <= 0 || usec > int64(maxLife/time.Microsecond), isSet && pid != strconv.Itoa(os.Getpid()):
	default:
		n.life = time.Duration(usec) * time.Microsecond
	}
	return n
}

// maxLife bounds what a watchdog may be set to: above, it is none.
const maxLife = 24 * time.Hour

// begin says what there is to say at the start. wasReady tells that the keeper before was.
func (n *notifier) begin(wasReady bool) {
	if wasReady {
		n.want.phase = isReady // told again: a reload may have been going on
	}
	n.want.status = "the master starts"
	n.tell()
	n.watch()
	if n.life > 0 {
		n.live()
	}
}

// watch starts the watchdog, which a keeper before may have stopped.
func (n *notifier) watch() {
	if n.life > 0 {
		n.now(fmt.Sprintf("%s=%d", envWatchdog, n.life.Microseconds()))
	}
}

// live is a sign of life, four in the time in which one has to come. It comes from the loop: a keeper whose loop stands
// still is ended. Whether the master decides is the keeper's to find out, which replaces the master alone.
func (n *notifier) live() {
	n.now("WATCHDOG=1")
	n.k.after(n.life/4, n.live)
}

// leave stops the watchdog: the program that this one becomes may be of a version that gives no signs of life. One that
// does starts it again (watch).
func (n *notifier) leave() {
	if n.life > 0 {
		n.now(envWatchdog + "=0")
	}
}

// started tells that the application has been started.
func (n *notifier) started() {
	if n.want.phase == isStarting {
		n.want.phase = isReady
	}
	n.tell()
}

// reload tells that the configuration is read again. It is over with reloaded, after limit at the latest.
func (n *notifier) reload(limit time.Duration) {
	if n.to == "" || n.want.phase != isReady && n.want.phase != isReloading {
		return
	}
	at := max(monotonic(), n.want.reload+1)
	n.want.phase, n.want.reload = isReloading, at
	n.tell()
	n.k.after(limit, func() {
		if n.want.reload == at {
			n.reloaded()
		}
	})
}

func (n *notifier) reloaded() {
	if n.want.phase == isReloading {
		n.want.phase = isReady
	}
	n.tell()
}

// stopping tells that everything is stopped. How long that takes only the keeper knows, which ends it by itself: as
// long as its loop runs it asks for more time.
func (n *notifier) stopping(why string) {
	n.want.phase, n.want.status = isStopping, statusLine("stopping: "+why)
	n.tell()
	if n.to != "" {
		n.extend()
	}
}

func (n *notifier) extend() {
	n.now(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", extendBy.Microseconds()))
	n.k.after(extendEvery, n.extend)
}

// status shows a text to persons (systemctl status). While everything stops no other replaces the reason.
func (n *notifier) status(text string) {
	if n.want.phase != isStopping {
		n.want.status = statusLine(text)
		n.tell()
	}
}

// statusLine is a text without what would be another line, or what a terminal would act on.
func statusLine(text string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)
	for len(clean) > maxStatus {
		_, size := utf8.DecodeLastRuneInString(clean)
		clean = clean[:len(clean)-size]
	}
	return clean
}

// tell tells what has changed.
func (n *notifier) tell() {
	if n.to == "" || n.retry != nil {
		return
	}
	err := n.tellReload()
	if err == nil {
		err = n.tellRest()
	}
	if err == nil {
		n.failed = false
		return
	}
	n.complain(err)
	n.retry = n.k.after(notifyRetry, func() { n.retry = nil; n.tell() })
}

func (n *notifier) tellReload() error {
	if n.want.reload == n.told.reload || n.want.phase == isStopping {
		return nil
	}
	err := n.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", n.want.reload))
	if err == nil {
		n.told.reload, n.told.phase = n.want.reload, isReloading
	}
	return err
}

func (n *notifier) tellRest() error {
	var lines []string
	if n.want.phase != n.told.phase {
		switch n.want.phase {
		case isReady:
			lines = append(lines, "READY=1")
		case isStopping:
			lines = append(lines, "STOPPING=1")
		}
	}
	if n.want.status != n.told.status {
		lines = append(lines, "STATUS="+n.want.status)
	}
	if len(lines) == 0 {
		return nil
	}
	err := n.send(strings.Join(lines, "\n"))
	if err == nil {
		n.told = n.want
	}
	return err
}

// now tells what nobody needs later.
func (n *notifier) now(text string) {
	if err := n.send(text); err != nil {
		n.complain(err)
	}
}

func (n *notifier) complain(err error) {
	if !n.failed {
		const text = "tell the manager of services (%s=%q) how things are: %v; it is tried again"
		n.k.logf("warning", text, envNotify, n.to, err)
	}
	n.failed = true
}

// sendDatagram sends without waiting: the manager may be busy, or stopped.
func sendDatagram(to, text string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: to, Net: "unixgram"}) // '@': an abstract address
	if err != nil {
		return err
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		_, failed = syscall.Write(int(fd), []byte(text)) // the descriptor does not block
		return true
	})
	if err != nil {
		return err
	}
	return failed
}
