//go:build e2e

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// load is a client that publishes at QoS 1, a hundred times a second, and a client that subscribes at QoS 1 to what the
// hub and each function make of that:
//
//	publisher ─t─► hub ─┬─────────────────────────► t/topic
//	                    └─► function manager ─► sql ─► t/sqlfilter
//	                                         └► python ─► t/py3hi
type load struct {
	s        *system
	topics   []string // where each message has to come out
	pub, sub mqtt.Client
	stop     chan struct{}
	sent     chan int // how many, once

	mu   sync.Mutex
	got  map[string]map[int]int // topic ─► number of the message ─► how often
	late map[string]time.Duration
	lost []string // connections
}

// loaded makes a system whose messages take part in a load: rules at QoS 1, through functions that this machine has.
func loaded(t *testing.T) (*system, []string) {
	t.Helper()
	s := newSystem(t).withoutTimer()
	s.replace(hubFile, "      topic: 't'\n    target:\n      topic: 't/topic'\n",
		"      topic: 't'\n      qos: 1\n    target:\n      topic: 't/topic'\n      qos: 1\n")
	rules, functions := functionOfLoad("sql-filter", "t/sqlfilter")
	topics := []string{"t/topic", "t/sqlfilter"}
	if contains(answering(t), "t/py3hi") {
		topics = append(topics, "t/py3hi")
		rule, function := functionOfLoad("python36-sayhi", "t/py3hi")
		rules, functions = rules+rule, functions+function
	}
	s.write(managerFile, "hub:\n  address: tcp://127.0.0.1:1883\n  username: test\n  password: hahaha\n"+
		"rules:\n"+rules+"functions:\n"+functions)
	s.replace("var/db/baetyl/function-filter-conf/service.yml", "where id < 10", "where id > -2")
	return s, topics
}

// functionOfLoad is the configuration of a function and its rule.
func functionOfLoad(name, topic string) (rule, function string) {
	rule = fmt.Sprintf(`  - clientid: load-%s
    subscribe:
      topic: t
      qos: 1
    function:
      name: %s
    publish:
      topic: %s
      qos: 1
`, name, name, topic)
	return rule, fmt.Sprintf("  - name: %s\n    service: function-%s\n", name, name)
}

// startLoad starts the load, and returns once a message has come out everywhere.
func (s *system) startLoad(topics []string) *load {
	s.t.Helper()
	l := &load{
		s: s, topics: topics, stop: make(chan struct{}), sent: make(chan int, 1),
		got: map[string]map[int]int{}, late: map[string]time.Duration{},
	}
	for _, topic := range topics {
		l.got[topic] = map[int]int{}
	}
	l.pub, l.sub = l.client("load-pub"), l.client("load-sub")
	filters := map[string]byte{}
	for _, topic := range topics {
		filters[topic] = 1
	}
	token := l.sub.SubscribeMultiple(filters, l.receive)
	if !token.WaitTimeout(waitLimit) || token.Error() != nil {
		s.t.Fatalf("subscribe to %v: %v", topics, token.Error())
	}
	l.publish(-1)
	s.eventually("a first message comes out of each function", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, topic := range topics {
			if l.got[topic][-1] == 0 {
				return fmt.Errorf("none on %s", topic)
			}
		}
		return nil
	})
	go l.run()
	return l
}

func (l *load) client(id string) mqtt.Client {
	l.s.t.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://127.0.0.1:" + l.s.port["1883"]).SetClientID(id).SetUsername("test").
		SetPassword("hahaha").SetAutoReconnect(false).SetOrderMatters(false)
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lost = append(l.lost, fmt.Sprintf("%s: %v", id, err))
	})
	c := mqtt.NewClient(o)
	if token := c.Connect(); !token.WaitTimeout(waitLimit) || token.Error() != nil {
		l.s.t.Fatalf("connect %s: %v", id, token.Error())
	}
	l.s.t.Cleanup(func() { c.Disconnect(0) })
	return c
}

// inTime is how late a message may be. It is what a busy machine may take for it, and less than anything that waits for
// a master takes.
const inTime = 5 * time.Second

// shot is the payload of a message.
type shot struct {
	ID int   `json:"id"`
	At int64 `json:"at"` // when it was published, in ns
}

func (l *load) publish(id int) mqtt.Token {
	data, _ := json.Marshal(shot{id, time.Now().UnixNano()})
	return l.pub.Publish("t", 1, false, data)
}

func (l *load) receive(_ mqtt.Client, m mqtt.Message) {
	now := time.Now()
	var one shot
	if err := json.Unmarshal(m.Payload(), &one); err != nil {
		one.ID = 0 // counted as one too many
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got[m.Topic()][one.ID]++
	if one.ID > 0 {
		l.late[m.Topic()] = max(l.late[m.Topic()], now.Sub(time.Unix(0, one.At)))
	}
}

// run publishes until it is told to stop, and then until the hub has acknowledged everything.
func (l *load) run() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var tokens []mqtt.Token
	for {
		select {
		case <-tick.C:
			tokens = append(tokens, l.publish(len(tokens)+1))
			continue
		case <-l.stop:
		}
		for _, token := range tokens {
			token.WaitTimeout(waitLimit)
		}
		l.sent <- len(tokens)
		return
	}
}

// end stops the load and judges it: each message has come out once on each topic, in time.
func (l *load) end() {
	t := l.s.t
	t.Helper()
	close(l.stop)
	sent := <-l.sent
	l.s.eventually("all messages come out", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, topic := range l.topics {
			if n := l.count(topic, func(times int) bool { return times > 0 }, sent); n < sent {
				return fmt.Errorf("%d of %d on %s", n, sent, topic)
			}
		}
		return nil
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, topic := range l.topics {
		twice := l.count(topic, func(times int) bool { return times > 1 }, sent)
		t.Logf("%s: %d sent, none lost, %d doubled, the latest after %v", topic, sent, twice,
			l.late[topic].Round(time.Millisecond))
		if twice > 0 {
			t.Errorf("%d messages came twice on %s", twice, topic)
		}
		if mode == masterapi.ModeNative && l.late[topic] > inTime {
			t.Errorf("a message on %s came after %v", topic, l.late[topic])
		}
	}
	if len(l.lost) > 0 {
		t.Errorf("connections were lost: %q", l.lost)
	}
}

// count is how many of the messages that were sent came as often as is asked for. l.mu is held.
func (l *load) count(topic string, often func(times int) bool, sent int) (n int) {
	for id := 1; id <= sent; id++ {
		if often(l.got[topic][id]) {
			n++
		}
	}
	return n
}

// census is what must not change while the master is replaced.
type census struct {
	processes map[string]string // process id and name ─► service
	restarts  map[string]int    // instance ─► how often it was started again
	accounts  map[account]bool
}

func (s *system) census() (c census, err error) {
	c = census{map[string]string{}, map[string]int{}, map[account]bool{}}
	for _, p := range s.processes() {
		c.processes[fmt.Sprintf("%d %s", p.pid, p.name)] = p.service
	}
	for _, a := range s.accounts() {
		c.accounts[a] = true
	}
	in, err := s.inspect()
	if err != nil {
		return c, err
	}
	if len(in.Services) == 0 {
		return c, errors.New("inspect shows no service")
	}
	for _, service := range in.Services {
		for _, i := range service.Instances {
			if i.Status != "running" {
				return c, fmt.Errorf("inspect shows %s as %s", i.Name, i.Status)
			}
			c.restarts[i.Name] = i.Restarts
		}
	}
	return c, nil
}
