package conformance_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// Each filter of a SUBSCRIBE has a code of its own, in their order.
func TestSubackCodes(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+"session: {subscriptions: {max: 20}}")
	p := b.login(as("ann", "ann", true))
	s := &packet.Subscribe{ID: 5}
	var want []packet.QOS
	for _, x := range []struct {
		filter  string
		granted bool
	}{
		{"ann/x", true}, {"ann/+", true}, {"ann/#", false}, {"ann", false}, {"ann/x/y", false}, {"#", false}, {"+", false},
		{"+/open", true}, {"any/open", true}, {"+/+", false}, {"shared", true}, {"bob/x", false}, {"", false},
		{"ann/#/x", false}, {"ann/x#", false}, {"ann+", false}, {"$SYS/#", false}, {"$x", false},
		{"$share/g/ann/x", true}, {"$share/g/bob/x", false}, {"$share/g", false}, {"$share//ann/x", false},
		{"$share/+/ann/x", false}, {strings.Repeat("/", 9), false},
		{"ann/" + strings.Repeat("x", 251), true}, {"ann/" + strings.Repeat("x", 252), false},
	} {
		qos := packet.QOS(len(want) % 3)
		s.Subscriptions = append(s.Subscriptions, packet.Subscription{Topic: x.filter, QOS: qos})
		if !x.granted {
			qos = packet.QOSFailure
		}
		want = append(want, qos)
	}
	p.send(s)
	p.expect(&packet.Suback{ID: 5, ReturnCodes: want})
}

func TestSubscriptionLimit(t *testing.T) {
	t.Parallel()
	b := start(t, anyone+"session: {subscriptions: {max: 2}}")
	p := b.keep("p")
	p.sub(0, "a", "b")
	require.Equal(t, []packet.QOS{packet.QOSFailure}, p.trySub(0, "c"))
	p.sub(1, "a") // it has that one
	p.unsub("b")
	p.sub(0, "c")
}

// The same filter again replaces the subscription, it does not add one.
func TestSubscriptionIsReplaced(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	by := b.clean("by")
	for _, clean := range []bool{true, false} {
		p := b.login(hello("p", clean))
		for _, qos := range []packet.QOS{0, 2, 1, 0, 2} {
			p.sub(qos, "t/+")
			by.pub("t/x", "m", 2)
			p.want("t/x", "m", qos)
			p.quiet()
		}
		require.EqualValues(t, 1, b.stat("subscriptions"))
	}
}

// While a subscription is replaced, no message is lost and none comes twice.
func TestReplacingASubscriptionInterruptsNothing(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	for _, clean := range []bool{true, false} {
		p, by := b.login(hello("p", clean)), b.clean("by")
		p.sub(1, "t")
		const count = 500
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range count {
				by.pub("t", fmt.Sprint(i), 1)
			}
		}()
		for next := 0; next < count; {
			p.send(&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Topic: "t", QOS: 1}}})
			for replaced := false; !replaced; {
				switch x := p.recv().(type) {
				case *packet.Suback:
					replaced = true
				case *packet.Publish:
					require.Equal(t, fmt.Sprint(next), string(x.Message.Payload))
					p.ack(x)
					next++
				}
			}
		}
		<-done
		p.quiet()
		p.bye()
		by.bye()
	}
}

// SUBACK comes before the first message of the subscription, however busy the topic is.
func TestSubackBeforeMessages(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for qos := range packet.QOS(2) {
		by := b.clean(fmt.Sprint("by", qos))
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					by.pub("t", "m", qos)
				}
			}
		})
	}
	for i := range 100 {
		p := b.login(hello("p", i%2 == 0))
		p.sub(1, "t") // fails if another packet comes first
		p.next()
		p.close()
	}
	close(stop)
	wg.Wait()
}

func TestUnsubscribe(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	by := b.clean("by")
	for _, clean := range []bool{true, false} {
		p := b.login(hello("p", clean))
		p.sub(1, "a", "+", "$share/g/s", "f")
		p.unsub("+", "never", "$share/g/s", "#") // it is the text of the filter that counts, not what it matches
		by.pub("a", "1", 1)
		by.pub("b", "1", 1)
		by.pub("s", "1", 1)
		p.want("a", "1", 1)
		p.fence(by, "f")
		p.unsub("a", "f")
		require.Zero(t, b.stat("subscriptions"))
	}
}

// Exchanges that began before UNSUBSCRIBE are completed after it.
func TestUnsubscribeCompletesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	p, by := b.keep("p"), b.clean("by")
	p.sub(2, "t")
	by.pub("t", "m", 2)
	m := p.next()
	p.unsub("t")
	p.ack(m)
	p.quiet()
}

// An unsubscribed filter does not come back after a restart.
func TestUnsubscribeIsStored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := startIn(t, dir, anyone)
	p := b.keep("p")
	p.sub(1, "a", "b")
	p.unsub("a")
	p.close()
	b.stop()
	b = startIn(t, dir, anyone)
	b.clean("by").pub("a", "m", 1)
	b.clean("by").pub("b", "m", 1)
	p = b.keep("p")
	p.want("b", "m", 1)
	p.quiet()
}

func TestWildcards(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	by := b.clean("by")
	for filter, c := range map[string]struct{ yes, no []string }{
		"sport/tennis/player1/#": {
			yes: []string{"sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon"},
			no:  []string{"sport/tennis", "sport/tennis/player10"},
		},
		"sport/tennis/+": {
			yes: []string{"sport/tennis/player1", "sport/tennis/"},
			no:  []string{"sport/tennis", "sport/tennis/player1/ranking"},
		},
		"+":          {[]string{"finance"}, []string{"/finance", "a/b"}},
		"/+":         {[]string{"/finance", "/"}, []string{"finance", "/a/b"}},
		"+/+":        {[]string{"/finance", "a/b", "/"}, []string{"a", "a/b/c"}},
		"+/tennis/#": {[]string{"a/tennis", "a/tennis/b/c", "/tennis"}, []string{"a/b/tennis", "tennis"}},
		"#":          {[]string{"a", "/", "a/b/c", " "}, nil},
		"caf\u00e9":  {[]string{"caf\u00e9"}, []string{"cafe\u0301", "cafe"}}, // no normalization
		"Accounts":   {[]string{"Accounts"}, []string{"ACCOUNTS", "Accounts/", "/Accounts"}},
	} {
		p := b.clean("p")
		p.sub(0, filter)
		for _, name := range c.yes {
			by.pub(name, "m", 0)
			p.want(name, "m", 0)
		}
		for _, name := range c.no {
			by.pub(name, "m", 0)
		}
		p.sub(0, "fence")
		p.fence(by, "fence")
		p.bye()
	}
}

// Wildcards in the first level do not match names that start with $, but a permit # allows them; the hub publishes
// under $SYS alone.
func TestDollarTopics(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	all, sys, by := b.clean("all"), b.clean("sys"), b.clean("by")
	all.sub(0, "#", "+/x", "f")
	sys.sub(0, "$SYS/never/there")
	p := b.clean("p")
	p.send(&packet.Publish{Message: message("$SYS/never/there", "forged", 0)})
	p.end()
	sys.quiet()
	cloud := b.clean("cloud")
	cloud.sub(1, "$baidu/+/x", "f")
	by.retain("$baidu/iot/x", "m", 1)
	cloud.expect(&packet.Publish{ID: 1, Message: message("$baidu/iot/x", "m", 1)})
	all.fence(by, "f")
}

// One member of each group gets a message, one after the other; other subscribers get it as well.
func TestSharedSubscription(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	by := b.clean("by")
	var members []*peer
	for i := range 3 {
		p := b.login(hello(fmt.Sprint("m", i), i != 0)) // one of them durable
		p.sub(1, "$share/g/t/+")
		members = append(members, p)
	}
	other, plain := b.clean("other"), b.clean("plain")
	other.sub(2, "$share/h/t/#")
	plain.sub(0, "t/x")
	for i := range 30 {
		by.pub("t/x", fmt.Sprint(i), 1)
		other.want("t/x", fmt.Sprint(i), 1)
		plain.want("t/x", fmt.Sprint(i), 0)
	}
	seen := map[string]bool{}
	for _, p := range members {
		for range 10 {
			m := p.take()
			require.False(t, seen[string(m.Message.Payload)])
			seen[string(m.Message.Payload)] = true
		}
		p.quiet()
	}
	// Groups get no retained messages: each new member would get them again.
	by.retain("t/r", "r", 1)
	members[1].close()
	eventually(t, "a member less", func() bool { return b.stat("subscriptions") == 4 })
	for range 3 {
		p := b.clean("late")
		p.sub(1, "$share/g/t/+")
		p.quiet()
		p.bye()
	}
}

// Members join and leave while messages are published: two members that stay get all messages that the others do not.
func TestSharedSubscriptionChanges(t *testing.T) {
	t.Parallel()
	b := start(t, anyone)
	stay := b.clean("stay")
	stay.sub(0, "$share/stay/t")
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for i := range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				p := b.clean(fmt.Sprint("p", i))
				p.sub(0, "$share/g/t")
				p.close()
			}
		})
	}
	by := b.clean("by")
	for i := range 300 {
		by.pub("t", fmt.Sprint(i), packet.QOS(i%2))
		stay.want("t", fmt.Sprint(i), 0)
	}
	close(stop)
	wg.Wait()
}
