package out

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/baetyl/baetyl/utils/logfile"
)

// Formats of Printer.Format.
const (
	Table = "table" // for people; may change with any version
	JSON  = "json"  // the body of the API, indented; a stream has one value a line
	YAML  = "yaml"  // the same keys
)

// Formats are all of them.
var Formats = []string{Table, JSON, YAML}

// Printer writes the output of one command. One goroutine uses it.
type Printer struct {
	Format   string // one of Formats; empty: Table
	terminal *os.File
	colour   bool
	to       *logfile.Checked
}

// New returns a Printer to w. Colours and what redraws are for a terminal alone, and not with NO_COLOR or TERM=dumb in
// env (os.Getenv).
func New(w io.Writer, env func(string) string) *Printer {
	p := &Printer{to: logfile.NewChecked(w)}
	if f, ok := w.(*os.File); ok && IsTerminal(f) && env("TERM") != "dumb" {
		p.terminal, p.colour = f, env("NO_COLOR") == ""
	}
	return p
}

// Terminal is where a person looks at the output, for what redraws; nil: a file, a pipe, or a terminal that cannot.
func (p *Printer) Terminal() *os.File { return p.terminal }

// Write writes bytes as they are: they have to be harmless.
func (p *Printer) Write(b []byte) (int, error) { return p.to.Write(b) }

// Err is why the output is not whole; nil: it is.
func (p *Printer) Err() error { return p.to.Err() }

// Says writes a text for people, with a newline. Texts in args are made harmless.
func (p *Printer) Says(format string, args ...any) {
	for n, a := range args {
		switch a := a.(type) {
		case string:
			args[n] = Block(a)
		case error:
			args[n] = Block(a.Error())
		}
	}
	fmt.Fprintf(p.to, format+"\n", args...)
}

// Print writes v, a body of the API: what table says with Format Table.
func (p *Printer) Print(v any, table func(*Rows)) error {
	switch p.Format {
	case JSON:
		return p.json(v, "  ")
	case YAML:
		return p.yaml(v)
	}
	rows := &Rows{}
	table(rows)
	_, err := io.WriteString(p.to, rows.render(p))
	return err
}

// Line writes v of a stream: as a line of JSON, as a document of YAML, or text with Format Table, which is made of
// harmless texts (Paint, Harmless).
func (p *Printer) Line(v any, text func() string) error {
	switch p.Format {
	case JSON:
		return p.json(v, "")
	case YAML:
		if _, err := io.WriteString(p.to, "---\n"); err != nil {
			return err
		}
		return p.yaml(v)
	}
	_, err := io.WriteString(p.to, text()+"\n")
	return err
}

// Colour is that of a cell: what a word means, not how it looks.
type Colour int

// The colours.
const (
	Plain Colour = iota
	Good         // green
	Warn         // yellow
	Bad          // red
	Faint
	Head // bold
)

var codes = map[Colour]string{Good: "\x1b[32m", Warn: "\x1b[33m", Bad: "\x1b[31m", Faint: "\x1b[2m", Head: "\x1b[1m"}

// Paint returns harmless text in a colour, where there are colours.
func (p *Printer) Paint(c Colour, text string) string {
	if text = Harmless(text); !p.colour || c == Plain || text == "" {
		return text
	}
	return codes[c] + text + "\x1b[0m"
}

// Rows are a table that is being made.
type Rows struct {
	lines [][]Cell
}

// Cell is a text in a table.
type Cell struct {
	Text   string
	Colour Colour
}

// Head begins with the names of the columns, in capitals by custom.
func (r *Rows) Head(names ...string) {
	cells := make([]Cell, len(names))
	for n, name := range names {
		cells[n] = Cell{name, Head}
	}
	r.lines = append(r.lines, cells)
}

// Add adds a line. Each value is a Cell, or anything that fmt.Sprint writes.
func (r *Rows) Add(values ...any) {
	cells := make([]Cell, len(values))
	for n, c := range values {
		if cell, ok := c.(Cell); ok {
			cells[n] = cell
		} else {
			cells[n] = Cell{Text: fmt.Sprint(c)}
		}
	}
	r.lines = append(r.lines, cells)
}

// render aligns the columns, two spaces apart.
func (r *Rows) render(p *Printer) string {
	var widths []int
	for _, cells := range r.lines {
		for n := range cells {
			cells[n].Text = strings.ReplaceAll(Harmless(cells[n].Text), "\t", " ")
			if n == len(widths) {
				widths = append(widths, 0)
			}
			widths[n] = max(widths[n], Width(cells[n].Text))
		}
	}
	var b strings.Builder
	for _, cells := range r.lines {
		space := 0 // before the next cell that says something: no line ends with it
		for n, c := range cells {
			if c.Text != "" {
				b.WriteString(strings.Repeat(" ", space))
				b.WriteString(p.Paint(c.Colour, c.Text))
				space = 0
			}
			space += widths[n] - Width(c.Text) + 2
		}
		b.WriteByte('\n')
	}
	return b.String()
}
