// Services: all of them, and one.
import { every, get, post, session } from './api.js';
import { bytes, el, plot, put, since, state, sure, table } from './dom.js';
import { tail } from './logs.js';

const sum = (instances, f) => (instances ?? []).reduce((all, i) => all + (f(i) ?? 0), 0);
const restarts = (s) => sum(s.instances, (i) => i.restarts);
const path = (name) => '/v1/services/' + encodeURIComponent(name);

function why(s) {
  if (s.stopped) return 'stopped by hand';
  const bad = (s.instances ?? []).find((i) => i.error || i.waiting || i.health?.output);
  if (!bad) return s.error ?? '';
  return bad.waiting
    ? `waits for ${bad.waiting}`
    : bad.error || (bad.health.status === 'healthy' ? '' : bad.health.output);
}

function actions(name, stopped, { say, refresh }) {
  if (!session.text) return '';
  const act = (action, done) => async () => {
    try {
      await post(`${path(name)}/${action}`);
      say(`${name}: ${done}.`);
    } catch (error) {
      say(error.message);
    }
    await refresh();
  };
  return el(
    'div',
    { class: 'row' },
    stopped ? sure('Start', act('start', 'started'), name) : sure('Restart', act('restart', 'started again'), name),
    stopped ? null : sure('Stop', act('stop', 'stopped'), name),
  );
}

export async function list({ main, signal, say }) {
  let refresh;
  const all = table(
    'Services',
    [
      {
        label: 'Service',
        value: (s, row) => (row.link ??= el('a', { href: `#service/${encodeURIComponent(s.name)}` }, s.name)),
      },
      {
        label: 'State',
        value: (s, row) => (row.state?.textContent === s.state ? row.state : (row.state = state(s.state))),
      },
      { label: 'Why', value: why },
      { label: 'Instances', number: true, value: (s) => (s.instances ?? []).length },
      { label: 'Restarts', number: true, value: restarts },
      {
        label: 'CPU',
        value: (s, row) => {
          const used = sum(s.instances, (i) => i.cpu_stats?.used_percent);
          return (row.cpu ??= plot('processor time, 100 is one core')).push(used, `${used.toFixed(1)} %`);
        },
      },
      {
        label: 'Memory',
        value: (s, row) => {
          const used = sum(s.instances, (i) => i.mem_stats?.used);
          return (row.memory ??= plot('memory')).push(used, bytes(used));
        },
      },
      { label: 'Up', number: true, value: (s) => since(s.instances?.[0]?.start_time) },
      {
        label: '',
        value: (s, row) => {
          const now = `${session.text} ${!!s.stopped || s.state === 'stopped'}`;
          if (row.now !== now) {
            row.now = now;
            row.actions = actions(s.name, !!s.stopped || s.state === 'stopped', { say, refresh });
          }
          return row.actions;
        },
      },
    ],
    (s) => s.name,
  );
  const head = el('p', { class: 'quiet' });
  main.replaceChildren(el('h1', {}, 'Services'), head, all);
  refresh = async () => {
    const { services } = await get('/v1/services?measured=true', signal);
    all.update(services ?? [], 'The application has no services.');
  };
  let whole = false; // the last refresh was; else the master may be another one
  await every(
    2000,
    async () => {
      if (!whole) {
        const { software } = await get('/v1/system/inspect', signal);
        head.textContent =
          `Application ${software.conf_version || 'without a version'}, master ${software.bin_version ?? ''}, ` +
          `${software.mode} mode, ${software.os}/${software.arch}`;
      }
      whole = false;
      await refresh();
      whole = true;
    },
    { signal, say },
  );
}

export async function one({ main, signal, say, argument: name }) {
  const top = el('div');
  const instances = table(
    'Instances',
    [
      { label: 'Instance', value: (i) => i.name },
      { label: 'State', value: (i) => state(i.health && i.status === 'running' ? i.health.status : i.status) },
      { label: 'Why', value: (i) => i.error || i.health?.output || (i.output ?? []).join('\n') },
      { label: 'Restarts', number: true, value: (i) => i.restarts ?? 0 },
      { label: 'CPU', number: true, value: (i) => (i.cpu_stats ? `${i.cpu_stats.used_percent.toFixed(1)} %` : '') },
      { label: 'Memory', number: true, value: (i) => bytes(i.mem_stats?.used) },
      { label: 'Up', number: true, value: (i) => since(i.start_time) },
      { label: 'Process', number: true, value: (i) => i.process?.id ?? i.container?.id?.slice(0, 12) },
    ],
    (i) => i.name,
  );
  const buttons = el('div');
  const definition = el('pre', { tabindex: '0', 'aria-label': 'Definition' });
  const lines = el('div');
  main.replaceChildren(
    el('h1', {}, name),
    top,
    buttons,
    instances,
    el('h2', {}, 'Logs'),
    lines,
    el('h2', {}, 'Definition'),
    definition,
  );
  let stopped;
  const refresh = async () => {
    const s = await get(path(name), signal);
    put(top, state(s.state));
    if (stopped !== !!s.stopped) buttons.replaceChildren(actions(name, (stopped = !!s.stopped), { say, refresh }));
    instances.update(s.instances ?? [], 'No instance runs.');
    put(definition, JSON.stringify(s.definition, null, 2));
  };
  await refresh();
  tail(lines, signal, { service: name, tail: 100 });
  await every(3000, refresh, { signal, say });
}
