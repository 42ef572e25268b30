package core_test

import (
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

func TestRetained(t *testing.T) {
	for name, x := range sessions {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			p := r.connect(connect("p"))
			p.send(retained(1, 1, "a/b", "1"), retained(0, 0, "a/c", "2"), retained(2, 2, "a/d", "3"))
			s := r.subscribed(x("s"), 1, "a/b", "a/+", "$share/g/a/b")
			require.ElementsMatch(t, []string{"a/b=1 q1", "a/c=2", "a/d=3 q1"}, bare(t, s.got()))
			p.send(retained(3, 1, "a/b", "4")) // to an established subscription it is not retained [MQTT-3.3.1-9]
			require.Len(t, s.got(), 2)
			p.send(retained(4, 1, "a/b", ""), retained(0, 0, "a/c", ""))
			require.Equal(t, 1, r.Stats().Retained)
			r.restart()
			require.Equal(t, 1, r.Stats().Retained)
			late := r.connect(connect("late"))
			late.send(sub(1, 0, "a/#"))
			late.is("suback 1 [0]", "a/d=3 retained")
		})
	}
}

// bare removes the packet ids and requires that the messages are retained ones.
func bare(t *testing.T, list []string) (all []string) {
	t.Helper()
	for _, s := range list {
		require.Contains(t, s, " retained")
		s = s[:len(s)-len(" retained")]
		if s[len(s)-3:len(s)-1] == " #" {
			s = s[:len(s)-3]
		}
		all = append(all, s)
	}
	return all
}

// Retained messages are published while the store works on a SUBSCRIBE: the newest comes last, and at least once.
func TestSubscribeWhileRetainedIsStored(t *testing.T) {
	type list = []packet.Generic
	for name, x := range sessions {
		for _, qos := range []packet.QOS{0, 1, 2} {
			m := func(payload string) packet.Generic { return retained(packet.ID(payload[0]), qos, "a", payload) }
			for what, c := range map[string]struct {
				first, before, after, later list // stored; in the batch of SUBSCRIBE before and after it; in the next batch
				fails                       bool // the next batch
				want                        string
			}{
				"before":       {list{m("1")}, list{m("2")}, nil, nil, false, "2"},
				"after":        {list{m("1")}, nil, list{m("2")}, nil, false, "2"},
				"around":       {list{m("1")}, list{m("2")}, list{m("3")}, list{m("4")}, false, "4"},
				"later":        {list{m("1")}, nil, nil, list{m("2")}, false, "2"},
				"later fails":  {list{m("1")}, nil, nil, list{m("2")}, true, "1"},
				"all is later": {list{m("1")}, nil, list{m("2")}, list{m("3")}, true, "2"},
			} {
				t.Run(what+", "+name+" at QoS "+qos2s(qos), func(t *testing.T) {
					r := newRig(t)
					p, q, s := r.connect(connect("p")), r.connect(connect("q")), r.connect(x("s"))
					p.send(c.first...)
					r.hold()
					q.send(retained(9, 1, "fence", "x")) // so that the next batch fills
					p.send(c.before...)
					s.send(sub(1, qos, "a"))
					p.send(c.after...)
					r.stored()
					r.step()
					p.send(c.later...)
					r.stored() // SUBSCRIBE
					if c.fails {
						r.step()
						r.fail = errDisk
					}
					if r.writing != nil {
						r.stored()
					}
					r.fail = nil
					r.release()
					require.Equal(t, "suback 1 ["+qos2s(qos)+"]", s.next())
					got := s.got()
					require.NotEmpty(t, got)
					last := byte(0)
					for _, x := range got {
						require.Greater(t, x[2], last, "%q", got)
						last = x[2]
					}
					require.Equal(t, c.want, string(last), "%q", got)
				})
			}
		}
	}
}

func qos2s(q packet.QOS) string { return string('0' + rune(q)) }

// Retained messages of a durable session wait for it like others.
func TestRetainedIsDeliveredAgain(t *testing.T) {
	r := newRig(t)
	p := r.connect(connect("p"))
	p.send(retained(1, 1, "a", "m"))
	s := r.subscribed(kept("s"), 1, "b")
	s.send(sub(2, 1, "a"))
	s.is("suback 2 [1]", "a=m q1 #1 retained")
	s.cut()
	r.start(kept("s")).is("connack 0 present", "a=m q1 #1 dup retained")
	r.restart()
	s = r.start(kept("s"))
	s.is("connack 0 present", "a=m q1 #1 dup retained")
	s.send(puback(1))
	r.restart()
	r.start(kept("s")).is("connack 0 present")
}

// Statistics are retained in memory, come at once, and need no store.
func TestAnnounce(t *testing.T) {
	r := newRig(t)
	early := r.subscribed(kept("early"), 1, "$SYS/#")
	r.Announce("$SYS/x", []byte("1"))
	r.run()
	early.is("$SYS/x=1")
	r.hold()
	r.connect(connect("p")).send(retained(1, 1, "a", "m"))
	r.Announce("$SYS/x", []byte("2"))
	r.run()
	early.is("$SYS/x=2")
	r.release()
	all := r.subscribed(connect("all"), 1, "#")
	all.is("a=m q1 #1 retained")
	all.send(sub(2, 1, "$SYS/+"))
	all.is("suback 2 [1]", "$SYS/x=2 retained")
	require.Len(t, r.disk.retained, 1)
}
