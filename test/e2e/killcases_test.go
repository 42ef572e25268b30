//go:build e2e

package e2e_test

// What a user sees when the master is killed while a command runs.
const (
	fails  = "fails"   // status 1 and one line that says so; 0 where the answer has arrived, of the next master too
	goesOn = "goes on" // with the next master: status 0
	looks  = "looks"   // status 0 or 1: it says what it finds
	alone  = "alone"   // it asks no master
)

// killCase is a command whose master is killed.
type killCase struct {
	args      []string // {out} is an empty folder, {app} a new application
	ends      string
	before    [][]string // commands that prepare it
	after     []string   // command that makes all as it was
	requests  int        // that it has; 0: as many as there are
	then      []string   // of one that follows: a command after the kill …
	shows     string     // … which makes it write this
	updates   bool       // it replaces the application when its status is 0
	changes   string     // a service that may have another process afterwards
	again     []string   // further arguments when it is tried once more
	once      bool       // it is not
	elsewhere string     // why it is not tried here
}

// killMark is in the arguments of what exec starts: seconds that it takes when the next master runs it.
const killMark = "2.424242"

// killCases has every command that help shows.
var killCases = map[string]killCase{
	"baetyl":        {ends: fails},
	"baetyl apply":  {args: []string{"--yes", "{app}"}, ends: fails, updates: true, changes: "timer"},
	"baetyl backup": {args: []string{"{out}/backup.tar.gz"}, ends: fails, again: []string{"--force"}},
	"baetyl check":  {ends: alone},
	"baetyl doctor": {ends: looks, once: true},
	"baetyl events": {
		args: []string{"-f"}, ends: goesOn, requests: 1,
		then: []string{"service", "restart", "timer"}, shows: "timer: service started by hand", changes: "timer",
	},
	"baetyl exec": {
		args: []string{"function-python36-sayhi", "--", "sh", "-c", "echo up; exec sleep " + killMark}, ends: fails,
		before:   [][]string{{"function", "call", "python36-sayhi", "-d", `{"id":1}`}}, // its image has a shell
		requests: 1,
	},
	"baetyl function call":  {args: []string{"sql-filter", "-d", `{"id":1}`}, ends: fails},
	"baetyl function list":  {ends: fails},
	"baetyl function rules": {ends: fails},
	"baetyl history":        {ends: fails},
	"baetyl hub clear":      {args: []string{"--filter", "state/#"}, ends: fails},
	"baetyl hub clients":    {ends: fails},
	"baetyl hub counters":   {ends: fails},
	"baetyl hub explain":    {args: []string{"t", "--user", "test"}, ends: fails},
	"baetyl hub forget":     {args: []string{"func-sql-filter-1"}, ends: fails, requests: 2, once: true},
	"baetyl hub kick":       {args: []string{"func-sql-filter-1"}, ends: looks, once: true}, // it may be away still
	"baetyl hub pub":        {args: []string{"state/1", "-d", "x", "--retain", "--qos", "1"}, ends: fails},
	"baetyl hub retained":   {ends: fails},
	"baetyl hub sessions":   {ends: fails},
	"baetyl hub sub": {
		args: []string{"later"}, ends: goesOn, requests: 2,
		then: []string{"hub", "pub", "later", "-d", "after"}, shows: "after",
	},
	"baetyl hub subscriptions": {ends: fails},
	"baetyl hub top":           {args: []string{"--once", "--interval", "100ms"}, ends: fails},
	"baetyl inspect":           {ends: fails},
	"baetyl logs": {
		args: []string{"-f", "timer"}, ends: goesOn, requests: 1,
		then: []string{"service", "restart", "timer"}, changes: "timer",
	},
	"baetyl plan":            {args: []string{"{app}"}, ends: fails},
	"baetyl prune":           {args: []string{"--dry-run"}, ends: fails, once: true}, // native mode refuses it
	"baetyl ps":              {ends: fails},
	"baetyl reload":          {ends: fails},
	"baetyl restart":         {ends: fails},
	"baetyl restore":         {elsewhere: "no master may run"},
	"baetyl revert":          {args: []string{"--yes"}, ends: fails, updates: true, changes: "timer"},
	"baetyl service restart": {args: []string{"timer"}, ends: fails, changes: "timer"},
	"baetyl service start": {
		args: []string{"timer"}, ends: fails, after: []string{"service", "start", "timer"}, changes: "timer",
	},
	"baetyl service stop": {
		args: []string{"timer"}, ends: fails, before: [][]string{{"service", "start", "timer"}},
		after: []string{"service", "start", "timer"}, changes: "timer",
	},
	"baetyl sql test":       {elsewhere: "it knows no master"},
	"baetyl start":          {elsewhere: "it is the keeper"},
	"baetyl status":         {ends: fails},
	"baetyl stop":           {elsewhere: "TestMasterKilledDuringStop"},
	"baetyl support-bundle": {args: []string{"{out}/bundle.tar.gz"}, ends: fails, again: []string{"--force"}},
	"baetyl top":            {ends: fails},
	"baetyl ui":             {ends: fails},
	"baetyl validate":       {args: []string{"{app}"}, ends: alone},
	"baetyl version":        {elsewhere: "it knows no master"},
}
