// Updates: what runs now, what has run, what each has changed, and the way back.
import { every, get, post, session } from './api.js';
import { clock, el, put, state, sure, table } from './dom.js';

const by = (b) =>
  b?.agent
    ? `cloud, by service ${b.service}`
    : b?.service
      ? `service ${b.service}`
      : b?.user || (b?.uid !== undefined ? `uid ${b.uid}` : 'application.yml');

function revert(number, { say }) {
  return sure(
    'Revert',
    async () => {
      try {
        const to = await post('/v1/system/revert', { number });
        say(`The update to version ${to.version ?? ''} (number ${to.number}) has begun.`);
      } catch (error) {
        say(error.message);
      }
    },
    `to number ${number}`,
  );
}

export async function list({ main, signal, say }) {
  const now = el('div');
  const steps = el('ul');
  const all = table(
    'History',
    [
      {
        label: 'Number',
        value: (e, row) => (row.link ??= el('a', { href: `#update/${e.number}` }, String(e.number))),
      },
      { label: 'Version', value: (e) => e.version ?? '' },
      { label: 'Result', value: (e) => state(e.ended ? e.result : e.result || 'running') },
      { label: 'Began', value: (e) => clock(e.began) },
      { label: 'By', value: (e) => by(e.by) },
      { label: 'Reason', value: (e) => e.reason ?? '' },
      {
        label: '',
        value: (e, row) => (e.ended && e.kept && session.text ? (row.revert ??= revert(e.number, { say })) : ''),
      },
    ],
    (e) => e.number,
  );
  main.replaceChildren(el('h1', {}, 'Updates'), now, steps, el('h2', {}, 'History'), all);
  await every(
    2000,
    async () => {
      const u = await get('/v1/system/update', signal);
      put(now, u.type ? state(u.running ? 'running' : u.result) : 'No update since the master has started.');
      steps.replaceChildren(
        ...(u.steps ?? []).map((s) => el('li', {}, `${clock(s.time)} ${s.step ?? ''} ${s.text} ${s.error ?? ''}`)),
      );
      const h = await get('/v1/history', signal);
      all.update([...(h.entries ?? [])].sort((a, b) => b.number - a.number));
    },
    { signal, say },
  );
}

export async function one({ main, signal, say, argument }) {
  const e = await get(`/v1/history/${encodeURIComponent(argument)}`, signal);
  const reasons = (c) =>
    (c.reasons ?? [])
      .map((r) => `${r.path}: ${r.old ?? ''} → ${r.new ?? ''}${r.line ? ` (line ${r.line})` : ''}`)
      .join('\n');
  const plan = table(
    'What it has changed',
    [
      { label: 'What', value: (c) => c.name },
      { label: 'Action', value: (c) => c.action },
      { label: 'Why', value: reasons },
    ],
    (c, n) => n,
  );
  const named = ['services', 'volumes', 'networks', 'images'].flatMap((k) =>
    (e.plan?.[k] ?? []).map((c) => ({ ...c, name: `${k.slice(0, -1)} ${c.name}` })),
  );
  plan.update(named, e.plan ? 'Nothing.' : 'What was before is not kept.');
  main.replaceChildren(
    el('h1', {}, `Update ${e.number}: version ${e.version ?? ''}`),
    el('p', {}, state(e.result || 'running'), ` ${clock(e.began)}, by ${by(e.by)}`),
    el('p', {}, e.reason ?? ''),
    e.ended && e.kept && session.text ? revert(e.number, { say }) : '',
    el('h2', {}, 'What it has changed'),
    plan,
  );
}
