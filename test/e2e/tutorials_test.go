//go:build e2e

package e2e_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// sayhi are the functions of the example: topic of the answer and name.
var sayhi = map[string]string{
	"t/py2hi":   "python27-sayhi",
	"t/py3hi":   "python36-sayhi",
	"t/node8hi": "node85-sayhi",
}

// answering are the topics whose runtime could be prepared here. In CI none may be missing but Python 2.7, which
// Debian has no more.
func answering(t *testing.T) []string {
	t.Helper()
	var out []string
	for topic, mark := range map[string]string{
		"t/py2hi":   "baetyl-function-python27",
		"t/py3hi":   "baetyl-function-python36",
		"t/node8hi": "baetyl-function-node85",
	} {
		if prepared(mark) {
			out = append(out, topic)
		} else if topic != "t/py2hi" {
			requires.Missing(t, "the runtime of "+mark, "scripts/setup.sh")
		} else {
			t.Logf("no Python 2.7 here: %s is not tested", topic)
		}
	}
	return out
}

// Tutorial "Message handling with Local Function Service", with the configuration as shipped but for the timer's
// interval.
func TestMessageHandling(t *testing.T) {
	s := newSystem(t).withoutTimer().start()
	topics := answering(t)
	sub := s.subscribe("#")
	s.publish("t", `{"id":1}`)

	if got := sub.wait("t").Payload; got != `{"id":1}` {
		t.Errorf("on t came %q", got)
	}
	if got := sub.wait("t/topic").Payload; got != `{"id":1}` {
		t.Errorf("on t/topic came %q", got)
	}
	for _, topic := range topics {
		got := sub.waitJSON(topic)
		for key, want := range map[string]any{
			"id": 1.0, "messageQOS": 0.0, "messageTopic": "t", "functionName": sayhi[topic], "Say": "Hello Baetyl",
		} {
			if got[key] != want {
				t.Errorf("%s: %s is %v, expected %v", topic, key, got[key], want)
			}
		}
		if stamp, _ := got["messageTimestamp"].(float64); time.Since(time.Unix(int64(stamp), 0)).Abs() > time.Minute {
			t.Errorf("%s: messageTimestamp is %v", topic, got["messageTimestamp"])
		}
		if id, _ := got["functionInvokeID"].(string); len(id) != 36 {
			t.Errorf("%s: functionInvokeID is %v", topic, got["functionInvokeID"])
		}
	}

	// what is not JSON comes as bytes
	s.publish("t", "not json")
	for _, topic := range topics {
		if got := sub.waitJSON(topic, "not json"); got["bytes"] != "not json" {
			t.Errorf("%s: %v", topic, got)
		}
	}

	// a function that raises answers with the documented error
	s.publish("t", `{"err":"on purpose"}`)
	for _, topic := range topics {
		got := sub.waitJSON(topic, "errorMessage", "on purpose")
		if _, ok := got["errorType"].(string); !ok {
			t.Errorf("%s: errorType is missing in %v", topic, got)
		}
		message, _ := got["functionMessage"].(map[string]any)
		if message["FunctionName"] != sayhi[topic] || message["Topic"] != "t" {
			t.Errorf("%s: functionMessage is %v", topic, message)
		}
	}
}

// The function sql-filter of the same tutorial: what its condition selects comes back, other messages don't.
func TestSQLFilter(t *testing.T) {
	s := newSystem(t).withoutTimer().start()
	sub := s.subscribe("t/sqlfilter", "-q", "1")
	s.publish("t", `{"id":1}`)
	sub.wait("t/sqlfilter", `"id":1,`)
	s.publish("t", `{"id":10}`, "-q", "1")
	s.publish("t", `{"id":9}`, "-q", "1")
	sub.wait("t/sqlfilter", `"id":9`)
	all := sub.all("t/sqlfilter") // in the order of the messages: nothing comes for id 10 any more
	for i, want := range []string{`{"id":1,"qos":0,"topic":"t"}`, `{"id":9,"qos":1,"topic":"t"}`} {
		if len(all) != 2 || all[i].Payload != want {
			t.Fatalf("on t/sqlfilter came %v, not %s as number %d of 2", all, want, i+1)
		}
	}
	s.publish("t", "not json")
	got := sub.waitJSON("t/sqlfilter", "errorMessage")
	if text, _ := got["errorMessage"].(string); !strings.Contains(
		text,
		"Exception calling application: ('[UserCodeInvoke]', the payload is not a JSON object",
	) {
		t.Errorf("what is not JSON gives %v", got)
	}
}

// The instances are started by the function manager with the first message, seen in inspect, and stopped after their
// idle time.
func TestInstancesComeAndGo(t *testing.T) {
	s := newSystem(t).withoutTimer()
	answering(t)
	s.edit(managerFile, func(text string) string {
		return strings.ReplaceAll(text, "    service: function-python36-sayhi\n",
			"    service: function-python36-sayhi\n    instance:\n      idletime: 2s\n      evicttime: 1s\n")
	})
	s.start()
	const service = "function-python36-sayhi"
	s.waitStatus("function-manager", "running", 1)
	if got := s.processesOf(service); len(got) != 0 {
		t.Fatalf("instances run before the first message: %v", got)
	}
	sub := s.subscribe("t/py3hi")
	for round := range 2 {
		s.publish("t", `{"id":1}`)
		s.eventually("an answer", func() error {
			if len(sub.all("t/py3hi")) <= round {
				return errors.New("none came")
			}
			return nil
		})
		found := s.waitStatus(service, "running", 1)[0]
		if !strings.HasPrefix(found.Name, service+".python36-sayhi.") {
			t.Errorf("inspect shows %s", found.all)
		}
		if mode == masterapi.ModeNative && found.Process.ID == 0 ||
			mode == masterapi.ModeDocker && found.Container.Name != found.Name {
			t.Errorf("inspect shows %s", found.all)
		}
		s.waitStatus(service, "running", 0)
		s.eventually("no process of "+service, func() error {
			if got := s.processesOf(service); len(got) != 0 {
				return errors.New("some run")
			}
			return nil
		})
	}
}

// A dynamic instance has no token, so user code cannot call the master.
func TestFunctionInstancesHaveNoToken(t *testing.T) {
	s := newSystem(t).withoutTimer()
	answering(t)
	s.write("var/db/baetyl/function-sayhi-code/index.py", `import os

def handler(event, context):
    return {"token": [k for k in os.environ if "TOKEN" in k], "name": os.environ.get("BAETYL_SERVICE_INSTANCE_NAME")}
`)
	s.start()
	sub := s.subscribe("t/py3hi")
	s.publish("t", "{}")
	got := sub.waitJSON("t/py3hi")
	if list, _ := got["token"].([]any); len(list) != 0 || got["name"] != "function-python36-sayhi.python36-sayhi.1" {
		t.Errorf("the instance sees %v", got)
	}
}

// Tutorial "Message transferring among devices with Local Hub Service".
func TestMessageTransfer(t *testing.T) {
	s := newSystem(t)
	s.write(appFile, `version: V2
services:
  - name: hub
    image: 'baetyl-hub'
    replica: 1
    mounts:
      - name: baetyl-hub-bin
        path: lib/baetyl/baetyl-hub
        readonly: true
      - name: localhub-conf
        path: etc/baetyl
        readonly: true
      - name: localhub_data
        path: var/db/baetyl/data
      - name: log-V1
        path: var/log/baetyl
volumes:
  - name: baetyl-hub-bin
    path: var/db/baetyl/baetyl-hub
  - name: localhub-conf
    path: var/db/baetyl/localhub-conf/V1
  - name: log-V1
    path: var/db/baetyl/log
  - name: localhub_data
    path: var/db/baetyl/localhub_data
`)
	s.write("var/db/baetyl/localhub-conf/V1/service.yml", hubOfTutorial+`subscriptions:
  - source:
      topic: 't'
    target:
      topic: 't/topic'
`)
	s.start()
	client2, client3 := s.subscribe("t"), s.subscribe("t/topic")
	s.publish("t", "This is a new message.")
	client2.wait("t", "This is a new message.")
	client3.wait("t/topic", "This is a new message.")

	// retained, and a client with a persistent session that is away
	s.publish("kept", "retained", "-r", "-q", "1")
	if m := s.subscribe("kept").wait("kept"); m.Retain != "1" || m.Payload != "retained" {
		t.Errorf("a new subscriber receives %+v", m)
	}
	s.subscribe("away", "-i", "device-1", "-c", "-q", "1", "-E") // subscribes and leaves
	s.publish("away", "while away", "-q", "1")
	s.subscribe("away", "-i", "device-1", "-c", "-q", "1").wait("away", "while away")
}

// hubOfTutorial is the hub's configuration in the tutorials about scripts.
const hubOfTutorial = `listen:
  - tcp://0.0.0.0:1883
principals:
  - username: 'test'
    password: 'hahaha'
    permissions:
      - action: 'pub'
        permit: ['#']
      - action: 'sub'
        permit: ['#']
logger:
  path: var/log/baetyl/service.log
`

// application is the one of the tutorials about scripts: hub, function manager and one runtime.
func application(service, runtime, conf, code string) string {
	text := `version: v0
services:
  - name: localhub
    image: baetyl-hub
    replica: 1
    mounts:
      - name: baetyl-hub-bin
        path: lib/baetyl/baetyl-hub
        readonly: true
      - name: localhub-conf
        path: etc/baetyl
        readonly: true
      - name: localhub-data
        path: var/db/baetyl/data
      - name: localhub-log
        path: var/log/baetyl
  - name: function-manager
    image: baetyl-function-manager
    replica: 1
    mounts:
      - name: baetyl-function-manager-bin
        path: lib/baetyl/baetyl-function-manager
        readonly: true
      - name: function-manager-conf
        path: etc/baetyl
        readonly: true
      - name: function-manager-log
        path: var/log/baetyl
  - name: SERVICE
    image: RUNTIME
    replica: 0
    mounts:
      - name: RUNTIME-bin
        path: lib/baetyl/RUNTIME
        readonly: true
      - name: CONF
        path: etc/baetyl
        readonly: true
      - name: CODE
        path: var/db/baetyl/function-sayhi
        readonly: true
volumes:
`
	for _, v := range []string{"localhub-conf", "localhub-data", "localhub-log", "function-manager-conf",
		"function-manager-log", "CONF", "CODE"} {
		text += "  - name: " + v + "\n    path: var/db/baetyl/" + v + "\n"
	}
	for _, v := range []string{"baetyl-hub", "baetyl-function-manager", "RUNTIME"} {
		text += "  - name: " + v + "-bin\n    path: var/db/baetyl/" + v + "\n"
	}
	return strings.NewReplacer("SERVICE", service, "RUNTIME", runtime, "CONF", conf, "CODE", code).Replace(text)
}

// managerOf is the function manager's configuration with one rule.
func managerOf(topic, function, service, answer string) string {
	return `hub:
  address: tcp://127.0.0.1:1883
  username: test
  password: hahaha
rules:
  - clientid: localfunc-1
    subscribe:
      topic: ` + topic + `
    function:
      name: ` + function + `
    publish:
      topic: ` + answer + `
functions:
  - name: ` + function + `
    service: ` + service + `
    instance:
      min: 0
      max: 10
      idletime: 1m
`
}

// Tutorial "How to write a python script for Python runtime".
func TestPythonScript(t *testing.T) {
	s := newSystem(t)
	answering(t)
	s.write(
		appFile,
		application("function-sayhi3", "baetyl-function-python36", "function-sayhi-conf", "function-sayhi-code"),
	)
	s.write(hubFile, hubOfTutorial)
	s.write(managerFile, managerOf("py", "sayhi3", "function-sayhi3", "py/hi"))
	s.write("var/db/baetyl/function-sayhi-conf/service.yml", `functions:
- name: 'sayhi3'
  handler: 'sayhi.handler'
  codedir: 'var/db/baetyl/function-sayhi'
`)
	s.write("var/db/baetyl/function-sayhi-code/sayhi.py", `#!/usr/bin/env python3
# -*- coding: utf-8 -*-

def handler(event, context):
    result = {}
    if isinstance(event, dict):
        result['msg'] = event
        result['type'] = 'dict'
        result['say'] = 'hello world'
    else:
        result['msg'] = event.decode("utf-8")
        result['type'] = 'non-dict'
        result['say'] = 'hello world'

    return result
`)
	s.start()
	sub := s.subscribe("py/hi")
	s.publish("py", `{"id":5}`)
	if got := sub.wait("py/hi", `"dict"`).Payload; got != `{"msg": {"id": 5}, "type": "dict", "say": "hello world"}` {
		t.Errorf("a dict message gives %s", got)
	}
	s.publish("py", "MQTTBox")
	if got := sub.wait(
		"py/hi",
		"non-dict",
	).Payload; got != `{"msg": "MQTTBox", "type": "non-dict", "say": "hello world"}` {
		t.Errorf("a non-dict message gives %s", got)
	}
}

// Tutorial "How to write a javascript for Node runtime".
func TestJavaScript(t *testing.T) {
	s := newSystem(t)
	answering(t)
	s.write(appFile, application("function-sayhi", "baetyl-function-node85", "function-sayjs-conf", "function-sayjs-code"))
	s.write(hubFile, hubOfTutorial)
	s.write(managerFile, managerOf("node", "sayhi", "function-sayhi", "t/hi"))
	s.write("var/db/baetyl/function-sayjs-conf/service.yml", `functions:
- name: 'sayhi'
  handler: 'index.handler'
  codedir: 'var/db/baetyl/function-sayhi'
`)
	s.write("var/db/baetyl/function-sayjs-code/index.js", `#!/usr/bin/env node

exports.handler = (event, context, callback) => {
  result = {};

  if (Buffer.isBuffer(event)) {
    const message = event.toString();
    result["msg"] = message;
    result["type"] = 'non-dict';
  } else {
    result["msg"] = event;
    result["type"] = 'dict';
  }

  result["say"] = 'hello world';
  callback(null, result);
};
`)
	s.start()
	sub := s.subscribe("t/hi")
	s.publish("node", `{"id":5}`)
	if got := sub.wait("t/hi", `"dict"`).Payload; got != `{"msg":{"id":5},"type":"dict","say":"hello world"}` {
		t.Errorf("a dict message gives %s", got)
	}
	s.publish("node", "MQTTBox")
	if got := sub.wait("t/hi", "non-dict").Payload; got != `{"msg":"MQTTBox","type":"non-dict","say":"hello world"}` {
		t.Errorf("a non-dict message gives %s", got)
	}
}

// The timer publishes its payload on its interval, at QoS 0 and 1.
func TestTimer(t *testing.T) {
	for _, qos := range []string{"0", "1"} {
		t.Run("QoS "+qos, func(t *testing.T) {
			s := newSystem(t)
			s.replace(timerFile, "interval: 10s", "interval: 500ms")
			s.replace(timerFile, "topic: t\n", "topic: tick\n  qos: "+qos+"\n")
			s.start()
			sub := s.subscribe("tick", "-q", "1")
			s.eventually("three messages of the timer", func() error {
				if len(sub.all("tick")) < 3 {
					return errors.New("fewer came")
				}
				return nil
			})
			for _, m := range sub.all("tick") {
				if m.QoS != qos || !strings.Contains(m.Payload, `"id":1`) {
					t.Errorf("the timer sent %+v", m)
				}
			}
		})
	}
}

// prepared tells whether the runtime of a function module could be made ready at install, or has an image.
func prepared(module string) bool {
	if mode == masterapi.ModeDocker {
		return exec.Command("docker", "image", "inspect", imagePrefix+module).Run() == nil
	}
	for _, mark := range []string{"/venv/prepared", "/node_modules/.prepared"} {
		if _, err := os.Stat(prefix + "/var/db/baetyl/" + module + mark); err == nil {
			return true
		}
	}
	return false
}
