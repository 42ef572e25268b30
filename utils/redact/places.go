package redact

import (
	"regexp"
	"strings"

	"github.com/baetyl/baetyl/utils/pattern"
)

// place is where a secret stands in a text.
type place struct {
	value string
	sure  bool // the form of it says that it is one
	env   bool // it is a variable, which may be anything
}

// words are in the names of keys whose values are secrets.
const words = `pass(?:word|wd|phrase|code)|[a-z0-9_.-]pwd|secret|token|api[_.-]?key|access[_.-]?key|private[_.-]?key|` +
	`account[_.-]?key|shared[_.-]?access[_.-]?key|encryption[_.-]?key|credentials?|authorization|auth[_.-]?key|cookie|` +
	`signature|connection[_.-]?string|psk|webhook`

// short are such names that are part of many words: they count at the end of a name only, alone or behind a sign.
const short = `\b(?:[A-Za-z0-9_.-]*[_.-])?(?:pass|pin|otp|dsn)`

var (
	// key and what follows it, in YAML, JSON (also JSON in a text of JSON), properties, environments, queries of URLs
	pair = pattern.Lazy(`(?i)([A-Za-z0-9_.\[\]-]*(?:` + words + `)[A-Za-z0-9_.\]-]*|` + short + `)` +
		`(\\*["']?[ \t]*(?::|=>|=|%3D)[ \t]*)` +
		`(\\+"(?:[^"\\]|\\[^"])*\\+"|"(?:[^"\\\n]|\\.)*"?|'(?:[^'\n]|'')*'?|[^\n\r]*)`)
	flag = pattern.Lazy(`(?i)(\s--?[A-Za-z0-9-]*(?:` + words + `|` + short + `)[A-Za-z0-9-]*[ \t]+)` +
		`("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s"']+)`)
	// the key called key holds a secret, or the path of a file
	named  = pattern.Lazy(`(?i)((?:^|[\s{,"'])key\\*["']?[ \t]*[:=][ \t]*\\*["']?)([A-Za-z0-9+/_=-]{16,})`)
	users  = pattern.Lazy(`([A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@"'<>]*:)([^\s"'<>@]+)@`)
	bearer = pattern.Lazy(`(?i)\b((?:bearer|basic|digest|negotiate|sharedaccesssignature)[ ]+)` +
		`([A-Za-z0-9._~+/%=&-]{8,})`)
	blocks = pattern.Lazy(`(?s)(-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----)(.*?)` +
		`(-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|$)`)
	// variables in JSON on one line
	inline = pattern.Lazy(`(?i)(\\*"(?:env|environment|vars)\\*"[ \t]*:[ \t]*[{\[])([^{}\[\]]+)([}\]])`)
	// what looks like a secret wherever it stands: JSON web tokens, keys of services with a form of their own, hashes
	forms = pattern.Lazy(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*|\bA(?:KI|SI)A[0-9A-Z]{16}\b|` +
		`\bgh[oprsu]_[A-Za-z0-9]{20,}|\bxox[abprs]-[A-Za-z0-9-]{10,}|\$2[aby]\$[0-9]{2}\$[A-Za-z0-9./]{53}|` +
		`\$[156y]\$[A-Za-z0-9./$=,-]{20,}|\bAGE-SECRET-KEY-1[A-Z0-9]{50,}|\bglpat-[A-Za-z0-9_-]{20}|` +
		`\b[rs]k_(?:live|test)_[A-Za-z0-9]{10,}|\bsk-[A-Za-z0-9_-]{20,}|\bAIza[A-Za-z0-9_-]{35}|\bnpm_[A-Za-z0-9]{36}|` +
		// addresses whose path is the secret: Slack, Discord, Telegram
		`\bT[A-Z0-9]+/B[A-Z0-9]+/[A-Za-z0-9]{10,}|\b[0-9]{15,20}/[A-Za-z0-9_-]{40,}|\bbot[0-9]{6,12}:[A-Za-z0-9_-]{30,}`)
)

// hints are in a line, in lower case, in which a pattern can match. Most lines of a log have none, and patterns are
// slow.
var hints = []struct {
	any     []string
	replace func(line string, f func(place) string) string
}{
	{[]string{"://"}, func(line string, f func(place) string) string {
		return groups(users, line, func(m []string) string { return m[1] + f(place{value: m[2], sure: true}) + "@" })
	}},
	{[]string{"bearer ", "basic ", "digest ", "negotiate ", "signature "},
		func(line string, f func(place) string) string {
			return groups(bearer, line, func(m []string) string { return m[1] + f(place{value: m[2], sure: true}) })
		}},
	{[]string{"eyj", "akia", "asia", "gh", "xox", "$", "age-secret", "glpat", "sk_", "rk_", "sk-", "aiza", "npm_",
		"services/t", "webhooks/", "bot"},
		func(line string, f func(place) string) string {
			return forms().ReplaceAllStringFunc(line, func(v string) string { return f(place{value: v, sure: true}) })
		}},
	{[]string{"pass", "pwd", "secret", "token", "key", "credential", "authorization", "cookie", "signature", "connection",
		"psk", "pin", "otp", "webhook", "dsn"}, keys},
	{[]string{`env`, `vars`}, func(line string, f func(place) string) string {
		return groups(inline, line, func(m []string) string { return m[1] + f(place{value: m[2], env: true}) + m[3] })
	}},
}

// keys replaces what follows the name of a secret.
func keys(line string, f func(place) string) string {
	line = groups(flag, line, func(m []string) string { return m[1] + quoted(m[2], f) })
	line = groups(pair, line, func(m []string) string { return m[1] + m[2] + assigned(m[2], m[3], f) })
	return groups(named, line, func(m []string) string {
		if strings.Contains(m[2], "/") && !strings.ContainsAny(m[2], "+=") { // a path
			return m[0]
		}
		return m[1] + f(place{value: m[2]})
	})
}

// places calls f with each place of a secret, and returns the text with what f returns there.
func places(text string, f func(place) string) string {
	if strings.Contains(text, "PRIVATE KEY") {
		text = groups(blocks, text, func(m []string) string { return m[1] + f(place{value: m[2], sure: true}) + m[3] })
	}
	var out strings.Builder
	out.Grow(len(text))
	for line := range strings.Lines(text) {
		low := strings.ToLower(line)
		for _, h := range hints {
			for _, word := range h.any {
				if strings.Contains(low, word) {
					line = h.replace(line, f)
					break
				}
			}
		}
		out.WriteString(line)
	}
	return environments(out.String(), f)
}

// groups replaces each match by what f makes of its groups.
func groups(re func() *regexp.Regexp, text string, f func([]string) string) string {
	var out strings.Builder
	last := 0
	for _, at := range re().FindAllStringSubmatchIndex(text, -1) {
		m := make([]string, len(at)/2)
		for i := range m {
			if at[2*i] >= 0 {
				m[i] = text[at[2*i]:at[2*i+1]]
			}
		}
		out.WriteString(text[last:at[0]])
		out.WriteString(f(m))
		last = at[1]
	}
	out.WriteString(text[last:])
	return out.String()
}

// quoted replaces what is in the quotes of a value, where it has some.
func quoted(value string, f func(place) string) string {
	open := 0
	for open < len(value) && value[open] == '\\' {
		open++
	}
	if open < len(value) && (value[open] == '"' || value[open] == '\'') {
		mark := value[:open+1]
		if end := value[open+1:]; strings.HasSuffix(end, mark) {
			return mark + f(place{value: strings.TrimSuffix(end, mark)}) + mark
		} else { // the quote is never closed: the line was cut
			return mark + f(place{value: end})
		}
	}
	return f(place{value: value})
}

// assigned replaces the value of a key. After a colon it goes to the end of the line, since a text in YAML may have
// spaces; after another sign to the next space. What begins a mapping or a list is none: its keys say what is in it.
func assigned(sign, value string, f func(place) string) string {
	switch {
	case value == "" || strings.ContainsRune("\"'\\", rune(value[0])):
		return quoted(value, f)
	case strings.ContainsRune("{[|>&*!#", rune(value[0])):
		return value
	}
	end := len(value)
	if !strings.Contains(sign, ":") {
		end = indexAny(value, " \t&;,\"'")
	} else if i := strings.Index(value, " #"); i >= 0 {
		end = i
	}
	// in a line of a log, or a mapping on one line, what follows is another key, which a reader wants
	if i := strings.Index(value[:end], ", "); i >= 0 && strings.ContainsAny(value[i:], ":=") {
		end = i
	}
	end = len(strings.TrimRight(value[:end], " \t,}])\"'"))
	return f(place{value: value[:end]}) + value[end:]
}

func indexAny(text, chars string) int {
	if i := strings.IndexAny(text, chars); i >= 0 {
		return i
	}
	return len(text)
}

var (
	envKey  = pattern.Lazy(`^([ \t]*(?:- )?)["']?(?:env|environment|vars)["']?[ \t]*:[ \t]*(.*)$`)
	envItem = pattern.Lazy(`^([ \t]*-?[ \t]*["']?[A-Za-z_][A-Za-z0-9_.-]*["']?[ \t]*[:=][ \t]*)(.*)$`)
)

// environments replaces the values of environments of services: nobody knows which of them are secrets.
func environments(text string, f func(place) string) string {
	if !strings.Contains(text, "env") && !strings.Contains(text, "vars") {
		return text
	}
	variable := func(p place) string {
		p.env = true
		return f(p)
	}
	var out strings.Builder
	depth := -1 // of the key env
	for line := range strings.Lines(text) {
		body := strings.TrimRight(line, "\r\n")
		end := line[len(body):]
		indent := len(body) - len(strings.TrimLeft(body, " \t"))
		item := indent == depth && strings.HasPrefix(body[indent:], "- ") // of a list that is the value of env
		if depth >= 0 && strings.TrimSpace(body) != "" && indent <= depth && !item {
			depth = -1
		}
		if m := envKey().FindStringSubmatch(body); m != nil && depth < 0 {
			depth = len(m[1])
			if rest := strings.TrimSpace(m[2]); len(rest) > 1 && strings.ContainsRune("{[", rune(rest[0])) { // on one line
				depth = -1
				body = body[:len(body)-len(rest)] + f(place{value: rest, env: true})
			}
		} else if depth >= 0 {
			if m := envItem().FindStringSubmatch(body); m != nil {
				body = m[1] + quoted(m[2], variable)
			} else if strings.TrimSpace(body) != "" { // a line of a longer value
				body = body[:indent] + variable(place{value: body[indent:]})
			}
		}
		out.WriteString(body)
		out.WriteString(end)
	}
	return out.String()
}
