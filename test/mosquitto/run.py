#!/usr/bin/env python3
"""Runs mosquitto's own test scripts for brokers against the hub: those parts that are about MQTT 3.1 and 3.1.1.

    run.py <sources of mosquitto> <program of the hub> [pattern]

The sources are changed for that: run.sh unpacks them anew. One line for each script: passed, failed or skipped, and at
the end their numbers. What fails, and why, is in docs/mqtt-conformance.md.
"""
import glob
import os
import re
import shutil
import subprocess
import sys

LIMIT = 120  # seconds for one script

# Scripts about what is mosquitto's alone: its bridge, plugins, security files, TLS options and command lines.
OTHER = re.compile(r"^(06|08|09|10|12|14|15|16)-|-v5|-helper|bridge|plugin|dynsec")
# In others, what needs options that the hub does not have.
OPTIONS = ("retain_available", "max_queued_bytes", "memory_limit", "max_keepalive", "allow_zero_length_clientid",
           "per_listener_settings", "password_file", "acl_file", "upgrade_outgoing_qos", "check_retain_source",
           "message_size_limit", "queue_qos0_messages")


def prepare(root):
    """Clients without user become those of the user anonymous, and brokers may take their time to start."""
    shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "broker"), os.path.join(root, "src/mosquitto"))
    path = os.path.join(root, "test/mosq_test.py")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    head = text.index("def gen_connect(")
    body = text.index("\n", head) + 1
    text = text[:body] + "    if username is None:\n        username = password = 'anonymous'\n" + text[body:]
    text = text.replace("range(0, 20)", "range(0, 300)")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def without5(text):
    """The script without its runs of MQTT 5."""
    return re.sub(r"(?m)^\s*(rc = )?do_test\((proto_ver=)?5\b.*$|^.*do_test\(.*proto_ver=5.*$", "", text)


def reason(name, text):
    """Why a script is left out; None: it is not."""
    if OTHER.search(name):
        return "not about MQTT 3.1.1, or about mosquitto alone"
    for option in OPTIONS:
        if option in text:
            return "needs " + option
    older = re.search(r"(?m)^ *(rc = )?do_test\((proto_ver=)?[34]\b", without5(text))
    if re.search(r"proto_ver ?= ?5", text) and not older:
        return "only about MQTT 5"
    if re.search(r"(?m)^import Queue$", text):
        return "needs Python 2"
    return None


def run(name, hub):
    env = dict(os.environ, HUB=hub)
    try:
        done = subprocess.run([sys.executable, name, "18880", "18881", "18882"], env=env, timeout=LIMIT,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.returncode == 0, done.stdout.decode("utf-8", "replace")
    except subprocess.TimeoutExpired as e:
        return False, (e.stdout or b"").decode("utf-8", "replace") + "more than %d s" % LIMIT


def main():
    root, hub = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    pattern = re.compile(sys.argv[3] if len(sys.argv) > 3 else "")
    prepare(root)
    os.chdir(os.path.join(root, "test/broker"))
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for name in sorted(glob.glob("[0-9][0-9]-*.py")):
        with open(name, encoding="utf-8") as f:
            text = f.read()
        why = reason(name, text)
        if not pattern.search(name):
            continue
        if why:
            outcome, out = "skipped", why
        else:
            with open(name, "w", encoding="utf-8") as f:
                f.write(without5(text))
            ok, out = run(name, hub)
            outcome = "passed" if ok else "failed"
        count[outcome] += 1
        print("%-8s %s%s" % (outcome, name, "" if outcome == "passed" else ": " + out), flush=True)
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % count)


main()
